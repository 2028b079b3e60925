# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Algorithm 1 in the shipped map, on images that were held out from its training."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation import pose_errors
from caldiff_ros.geometry import Camera
from caldiff_ros.localization import (
    PRESETS,
    Cancelled,
    CancelToken,
    LocalizationMap,
    Localizer,
    Status,
)

ROOT = Path(__file__).parents[2]
CAMERA = Camera(**json.loads((ROOT / 'demo/camera.json').read_text()))
TRUTH = json.loads((ROOT / 'demo/poses.json').read_text())


def held_out(i):
    """Image and true pose."""
    bgr = cv2.imread(str(ROOT / 'demo' / TRUTH[i]['image']))
    return bgr[..., ::-1].copy(), np.array(TRUTH[i]['T_map_cam'])


@pytest.fixture(scope='module')
def localizer():
    loaded = LocalizationMap.load(ROOT / 'maps/diorama_room')
    return Localizer(loaded, device='cpu', seed=3)


def test_a_held_out_image_is_localized(localizer):
    image, true = held_out(3)
    seen = []
    answer = localizer.localize(image, CAMERA, observer=seen.append)
    assert answer.status == Status.LOCALIZED
    assert answer.confidence > 0.5
    distance, angle = pose_errors(true, answer.T_map_cam)
    assert distance / localizer.map.unit < 0.05
    assert angle < 10
    assert list(answer.timings) == ['preparation', 'diffusion', 'selection', 'refinement']
    errors = [hypothesis.photometric_error for hypothesis in answer.hypotheses]
    assert errors == sorted(errors)
    assert np.array_equal(answer.hypotheses[0].T_map_cam, answer.T_map_cam)
    assert np.linalg.eigvalsh(answer.covariance).min() > 0
    check_particles(seen, answer)


def check_particles(seen, answer):
    stages = [particles.stage for particles in seen]
    assert sorted(set(stages), key=stages.index) == [
        *('initialization', 'diffusion', 'selection', 'refinement', 'answer')
    ]
    diffusion = [particles for particles in seen if particles.stage == 'diffusion']
    assert [particles.step for particles in diffusion] == list(range(1, 11))
    assert all(len(particles.T_map_cam) == 100 for particles in diffusion)
    subset = seen[stages.index('refinement') - 1]
    assert subset.stage == 'selection'
    assert len(subset.T_map_cam) <= 5
    assert np.array_equal(seen[-1].T_map_cam[0], answer.T_map_cam)
    # the particles contract
    spread = [particles.T_map_cam[:, :3, 3].std() for particles in (seen[0], diffusion[-1])]
    assert spread[1] < spread[0]


def test_the_same_seed_gives_the_same_digits(localizer):
    image, _ = held_out(0)
    first, second = (localizer.localize(image, CAMERA) for _ in range(2))
    assert np.array_equal(first.T_map_cam, second.T_map_cam)
    assert first.photometric_error == second.photometric_error
    assert np.array_equal(first.covariance, second.covariance)


def test_a_render_is_found_again(localizer):
    """A picture with a pose that is exactly known: the map's own render between two cameras."""
    true = held_out(5)[1]
    true[:3, 3] += 0.02 * localizer.map.unit
    answer = localizer.localize(localizer.map.render(true), localizer.map.camera)
    distance, angle = pose_errors(true, answer.T_map_cam)
    assert distance / localizer.map.unit < 2e-3
    assert angle < 0.2


@pytest.mark.parametrize(
    'camera',
    [
        Camera(320, 240, 210.0, 200.0, 150.0, 125.0, 'plumb_bob', (-0.25, 0.08, 1e-3, -2e-3, 0.01)),
        Camera(240, 240, 130.0, 130.0, 118.0, 121.0, 'equidistant', (0.05, -0.01, 2e-3, -1e-3)),
        Camera(
            200, 120, 170.0, 170.0, 99.0, 61.0, 'rational_polynomial',
            (0.3, -0.05, 1e-3, 1e-3, 0.01, 0.4, -0.03, 0.01),
        ),
    ],
    ids=lambda camera: camera.distortion_model,
)  # fmt: skip
def test_a_camera_with_another_lens_is_localized(localizer, camera):
    """A distorted picture of a known view at another size: a large one, bent by OpenCV."""
    true = held_out(8)[1]
    true[:3, 3] += 0.01 * localizer.map.unit
    uv, D = camera.pixel_centers()[:, None], np.array(camera.distortion)
    undistort = cv2.fisheye if camera.distortion_model == 'equidistant' else cv2
    xy = undistort.undistortPoints(uv, camera.matrix(), D)[:, 0]
    half = np.ceil(np.abs(xy).max(0) * 600).astype(int)
    large = Camera(*(2 * half).tolist(), 600.0, 600.0, *half.tolist())
    out = localizer.map.field.render(localizer.map.to_norm(true[None]), large)
    places = (xy * 600 + half - 0.5).reshape(camera.height, camera.width, 2).astype(np.float32)
    picture = cv2.remap(out.rgb[0].numpy(), places[..., 0], places[..., 1], cv2.INTER_LINEAR)
    answer = localizer.localize((picture.clip(0, 1) * 255).round().astype(np.uint8), camera)
    assert answer.status == Status.LOCALIZED
    distance, angle = pose_errors(true, answer.T_map_cam)
    assert distance / localizer.map.unit < 3e-3
    assert angle < 0.3


@pytest.mark.parametrize(
    ('gain', 'offset'), [((0.7, 0.7, 0.7), 0), ((1.25, 1.0, 0.75), 10)], ids=['darker', 'warmer']
)
def test_another_exposure_is_localized(localizer, gain, offset):
    image, true = held_out(4)
    changed = (image * np.array(gain) + offset).clip(0, 255).astype(np.uint8)
    answer = localizer.localize(changed, CAMERA)
    assert answer.status == Status.LOCALIZED
    distance, angle = pose_errors(true, answer.T_map_cam)
    assert distance / localizer.map.unit < 0.01
    assert angle < 2


def test_noise_is_not_localized(localizer):
    noise = np.random.default_rng(0).integers(0, 255, (CAMERA.height, CAMERA.width, 3), np.uint8)
    answer = localizer.localize(noise, CAMERA)
    assert answer.status == Status.NOT_LOCALIZED
    assert answer.confidence < 0.5
    assert 'below the 0.5' in answer.message


def test_cancelling_stops_between_two_steps(localizer):
    token, steps = CancelToken(), []

    def cancel_early(particles):
        steps.append((particles.stage, particles.step))
        if steps[-1] == ('diffusion', 2):
            token.cancel()

    with pytest.raises(Cancelled):
        localizer.localize(held_out(0)[0], CAMERA, cancel_early, token)
    assert steps[-1] == ('diffusion', 2)


def test_the_paper_preset_runs_every_step_of_algorithm_1(localizer):
    """With fewer particles and steps than the preset has, or this would take minutes."""
    paper = PRESETS['paper']
    short = replace(paper, particles=8, refinement=replace(paper.refinement, steps=20, pixels=128))
    seen = []
    answer = Localizer(localizer.map, short, 'cpu').localize(*held_out(1)[:1], CAMERA, seen.append)
    diffusion = [particles for particles in seen if particles.stage == 'diffusion']
    refinement = [particles for particles in seen if particles.stage == 'refinement']
    assert [particles.step for particles in diffusion] == list(range(1, 51))
    assert [particles.step for particles in refinement[:-1]] == [10, 20]
    assert all(len(particles.T_map_cam) == 5 for particles in refinement)
    assert 1 <= len(answer.hypotheses) <= 5  # copies are one answer


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((20, 30), np.uint8),
        np.zeros((20, 30, 4), np.uint8),
        np.zeros((20, 30, 3), np.float32),
    ],
    ids=['grey', 'alpha', 'float'],
)
def test_images_of_another_type_are_refused(localizer, image):
    with pytest.raises(CaldiffError, match='expected uint8 RGB'):
        localizer.localize(image, CAMERA)


def test_unknown_presets_are_refused(localizer):
    with pytest.raises(CaldiffError, match="preset 'swift' is not known, expected one of paper, "):
        Localizer(localizer.map, 'swift')


def test_matching_is_only_tried_where_nothing_is_trusted(localizer):
    image, true = held_out(3)
    answers = {}
    for trusted in (0.0, 1.0):
        config = replace(localizer.config, min_confidence=trusted)
        answers[trusted] = Localizer(localizer.map, config, 'cpu', seed=3).localize(image, CAMERA)
        assert pose_errors(true, answers[trusted].T_map_cam)[1] < 10
    # five renders of the map's camera, and what comes of them
    camera = localizer.map.camera
    assert answers[1.0].rays - answers[0.0].rays >= 5 * camera.width * camera.height


def test_only_what_is_not_sure_is_looked_at_once_more(localizer):
    image, _ = held_out(3)
    noise = np.random.default_rng(0).integers(0, 255, image.shape, np.uint8)
    once = Localizer(localizer.map, replace(localizer.config, hidden=None), 'cpu', seed=3)
    twice = Localizer(localizer.map, localizer.config, 'cpu', seed=3)
    assert once.localize(image, CAMERA).rays == twice.localize(image, CAMERA).rays
    # at least what twelve poses take on the coarsest level
    more = twice.localize(noise, CAMERA).rays - once.localize(noise, CAMERA).rays
    assert more > 12 * 25 * 19


def test_screening_leaves_the_selection_as_it_is_where_it_lets_all_pass(localizer):
    image, _ = held_out(3)
    errors = {}
    for side in (None, 12):
        selection = replace(localizer.config.selection, screening_side=side, screened=100)
        config = replace(localizer.config, selection=selection)
        found = []
        Localizer(localizer.map, config, 'cpu', seed=3).localize(image, CAMERA, found.append)
        errors[side] = [p.photometric_error for p in found if p.stage == 'selection'][-1]
    np.testing.assert_array_equal(errors[None], errors[12])
