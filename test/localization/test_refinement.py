# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Refinement finds the pose that a picture was rendered from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from blobs import CAMERA as BLOBS_CAMERA
from blobs import Blobs, photographed, ring
from wall import Wall, moved

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.alignment import AlignmentConfig, HiddenConfig, align
from caldiff_ros.localization.comparison import Level
from caldiff_ros.localization.inerf import InerfConfig, InverseProblem, inerf
from caldiff_ros.localization.levenberg_marquardt import align_level
from caldiff_ros.mapping.calibration import queries_of
from caldiff_ros.mapping.disturbances import occlude

LEVEL = Level(
    longer_side=100,
    iterations=5,
    blur_px=0.0,
    robust_scale=0.3,
    edge_weight=0.5,
    mean_gradient=True,
    min_step_px=0.05,
)


@pytest.mark.parametrize('seed', range(3))
def test_alignment_recovers_the_pose(scene, seed):
    field, true, query = scene
    start = moved(true, 0.03, 4, seed, n=3)
    aligned = align(field, query, start, AlignmentConfig().keeping(3, 2, 2, 2))
    assert float(aligned.T_norm_cam[0].translation_error(true[0])) < 1e-3
    assert float(aligned.T_norm_cam[0].rotation_error_deg(true[0])) < 0.1
    assert aligned.cost.tolist() == sorted(aligned.cost.tolist())


def test_what_hides_a_part_leads_the_more_robust_alignment_less_astray():
    """Something of one colour over three tenths of the image, in front of a small object."""
    field, true = Blobs(n=8), ring(6)
    config = AlignmentConfig()
    errors = []
    for i, query in enumerate(queries_of(photographed(field, true, BLOBS_CAMERA), field)):
        image = occlude(query.image, 0.3, np.random.default_rng(i), 'box', textured=False)
        start = moved(true[i : i + 1], 0.02, 3, seed=i)
        errors.append(
            [
                float(found.T_norm_cam[0].translation_error(true[i]))
                for found in (
                    align(field, replace(query, image=image), start, alignment)
                    for alignment in (config, config.more_robust(HiddenConfig()))
                )
            ]
        )

    usual, more_robust = np.array(errors).T
    assert (usual > 0.01).sum() >= 3
    assert (more_robust < 0.01).all()


def test_the_second_look_is_of_the_same_levels_with_its_own_survivors():
    hidden = HiddenConfig(aligned_scale=0.2, kept=4)
    config = AlignmentConfig().more_robust(hidden)
    scales = [level.robust_scale for level in AlignmentConfig().levels]
    assert [level.robust_scale for level in config.levels] == [min(s, 0.2) for s in scales]
    assert config.survivors == (4, 2, 2, 2)


def test_alignment_makes_no_pose_worse(scene):
    """Not even one that sees another part of the wall."""
    field, true, query = scene
    start = Pose.cat([true, moved(true, 0.4, 40, seed=0, n=4)])
    level = replace(LEVEL, blur_px=0.8, robust_scale=1.0, edge_weight=1.0, mean_gradient=False)
    before, after = (
        align_level(field, query, start, replace(level, iterations=iterations)).cost
        for iterations in (0, 6)
    )
    assert bool((after <= before).all())
    assert float(after[0]) < 1e-4


def test_a_level_beyond_the_pixels_of_the_image_is_skipped(scene):
    field, true, query = scene
    start, visited = moved(true, 0.02, 3, seed=0), []

    def refined(*levels: Level) -> Pose:
        visited.clear()
        config = AlignmentConfig(levels=levels, survivors=(1,) * (len(levels) - 1))
        aligned = align(field, query, start, config, on_step=lambda *step: visited.append(step[0]))
        return aligned.T_norm_cam

    coarse = [replace(LEVEL, longer_side=side, blur_px=0.8) for side in (25, 50)]
    finer = replace(LEVEL, longer_side=200)
    short = refined(*coarse, LEVEL)
    starts = visited.count(0)
    long = refined(*coarse, LEVEL, finer)
    assert visited.count(0) == starts == 3
    assert torch.equal(short.t, long.t)
    # with another blur it is another comparison
    refined(*coarse, replace(LEVEL, blur_px=0.8), finer)
    assert visited.count(0) == 4


def test_alignment_ignores_pixels_that_were_not_seen(scene):
    field, true, query = scene
    image, seen = query.image.copy(), query.seen.copy()
    image[:, :30], seen[:, :30] = 255, False
    covered = type(query)(image, seen, query.camera, query.device)
    start = moved(true, 0.01, 2, seed=4)
    pose = align(field, covered, start, AlignmentConfig().keeping(1, 1, 1, 1)).T_norm_cam
    assert float(pose[0].translation_error(true[0])) < 2e-3


def test_alignment_tolerates_another_exposure(scene):
    field, true, query = scene
    darker = (query.image * np.array([0.6, 0.7, 0.8]) + 12).astype(np.uint8)
    start = moved(true, 0.02, 3, seed=1)
    config = AlignmentConfig().keeping(1, 1, 1, 1)
    errors = {}
    for affine in (True, False):
        changed = type(query)(darker, query.seen, query.camera, query.device, affine)
        pose = align(field, changed, start, config).T_norm_cam
        errors[affine] = float(pose[0].translation_error(true[0]))
    assert errors[True] < 1e-3
    assert errors[True] < errors[False]


@pytest.mark.parametrize('color', [0, 90, 255])
def test_alignment_ignores_what_stands_in_front(scene, color):
    """A flat patch over a quarter of the image neither draws the pose nor spoils the exposure."""
    field, true, query = scene
    height, width = query.image.shape[:2]
    image = query.image.copy()
    image[height // 4 : 3 * height // 4, : width // 2] = color
    covered = type(query)(image, query.seen, query.camera, query.device, affine_exposure=True)
    start = moved(true, 0.02, 3, seed=1)
    pose = align(field, covered, start, AlignmentConfig().keeping(1, 1, 1, 1)).T_norm_cam
    assert float(pose[0].translation_error(true[0])) < 2e-3


def test_copies_do_not_crowd_out_another_place(scene):
    """Four starts at one minimum and a worse one elsewhere: both places reach the last level."""
    field, true, query = scene
    far = moved(true, 0.15, 15, seed=3)
    starts = Pose.cat([moved(true, 0.01, 1, seed, n=1) for seed in range(4)] + [far])
    config = AlignmentConfig().keeping(2, 2, 2, 2)
    aligned = align(field, query, starts, config)
    assert len(aligned.cost) == 2
    errors = aligned.T_norm_cam.translation_error(true[0])
    assert float(errors[0]) < 1e-3
    assert float(errors[1]) > 0.05
    # unless it is hopeless at the end of a level
    ratios = []
    for n_levels in range(1, len(config.levels)):
        shorter = replace(
            config, levels=config.levels[:n_levels], survivors=config.survivors[: n_levels - 1]
        )
        cost = align(field, query, starts, shorter).cost
        ratios.append(float(cost[-1] / cost[0]))
    for ratio, n in ((1.1 * max(ratios), 2), (10, 1)):
        assert len(align(field, query, starts, config, ratio).cost) == n


def inverse_problem(field, query) -> InverseProblem:
    return InverseProblem(
        field=field,
        query=query,
        region=query.keypoint_region(),
        generator=torch.Generator().manual_seed(0),
    )


def test_inerf_recovers_the_pose(scene):
    field, true, query = scene
    start = moved(true, 0.01, 1, seed=2, n=2)
    seen = []
    problem = inverse_problem(field, query)
    config = InerfConfig(steps=150, learning_rate=0.002)
    pose = inerf(problem, start, config, on_step=lambda step, poses: seen.append(step))
    assert float(pose.translation_error(true).max()) < 2e-3
    assert float(pose.rotation_error_deg(true).max()) < 0.2
    assert seen == list(range(1, 151))


def test_inerf_moves_along_the_gradient_of_equation_5(scene):
    """Autograd of the error against central differences."""
    field, true, query = scene
    pose = moved(true, 0.005, 0.5, seed=3)
    pixels = query.keypoint_region()[::7]
    delta = torch.zeros(1, 6, requires_grad=True)
    query.mean_squared_difference(field, pose.retract(delta), pixels).sum().backward()
    eps = 1e-3
    for k in range(6):
        step = torch.zeros(1, 6)
        step[0, k] = eps
        plus = query.mean_squared_difference(field, pose.retract(step), pixels)
        minus = query.mean_squared_difference(field, pose.retract(-step), pixels)
        numeric = float(plus - minus) / (2 * eps)
        assert float(delta.grad[0, k]) == pytest.approx(numeric, rel=0.05, abs=2e-3)


def test_inerf_of_a_field_without_gradients_is_refused(scene):
    _, true, query = scene

    class Opaque(Wall):
        differentiable = False

    with pytest.raises(CaldiffError, match=r'^a wall field has no gradients .* fast or accurate$'):
        inerf(inverse_problem(Opaque(), query), true, InerfConfig(steps=1))


def test_as_many_survivors_as_there_are_gaps_between_levels():
    with pytest.raises(CaldiffError, match=r'^survivors are \(3,\) for 5 levels, .* correct it$'):
        AlignmentConfig().keeping(3)


def test_the_mean_gradient_takes_fewer_steps_near_the_end(scene):
    """A single one from the same places; the residuals are the same, only the step differs."""
    field, true, query = scene
    start = moved(true, 0.01, 1, seed=5, n=12)
    levels = [replace(LEVEL, mean_gradient=mean, iterations=1) for mean in (False, True)]
    one_sided, mean = (align_level(field, query, start, level).T_norm_cam for level in levels)
    errors = [poses.translation_error(true).median() for poses in (one_sided, mean)]
    assert float(errors[1]) < 0.5 * float(errors[0])
