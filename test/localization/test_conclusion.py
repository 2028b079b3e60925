# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an answer says of itself, in scenes where the right verdict is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from blobs import CAMERA, Blobs, ring
from wall import photograph

from caldiff_ros.evaluation import pose_errors
from caldiff_ros.geometry import Pose
from caldiff_ros.localization import CancelToken, Status
from caldiff_ros.localization.conclusion import conclude
from caldiff_ros.localization.presets import configuration
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.stages import refine
from maps import CALIBRATION, make_map

#: Half a turn about the vertical axis through the middle of the scene.
HALF_TURN = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))


def scene(symmetric: bool) -> Blobs:
    """Blobs, every one of them with a twin on the other side if the scene is symmetric."""
    blobs = Blobs(n=12)
    if symmetric:
        blobs.centers = torch.cat([blobs.centers, blobs.centers @ HALF_TURN])
        blobs.colors, blobs.radii = blobs.colors.repeat(2, 1), blobs.radii.repeat(2)
    return blobs


def answered(symmetric: bool, n_right: int = 16, **changes):
    """The answer from a start near the true pose and one on the other side; and the truth."""
    place = make_map()
    place.calibration = replace(CALIBRATION, n_right=n_right)
    place.field = scene(symmetric)
    true = ring(8)[2:3]
    query = photograph(place.field, true, CAMERA)
    twin = Pose(HALF_TURN @ true.R, true.t @ HALF_TURN)
    noise = 0.01 * torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    starts = Pose.cat([twin, true]).retract(noise)
    config = replace(configuration('fast'), matching=None, **changes)
    run = Run(place, torch.Generator().manual_seed(0))
    answer = conclude(refine(starts, query, config, run), query, config, run)
    return answer, place.to_map(true)[0], place


def test_a_scene_with_two_sides_alike_is_ambiguous():
    answer, true, place = answered(symmetric=True)
    assert answer.status == Status.AMBIGUOUS
    assert '2 places in test look alike' in answer.message
    assert len(answer.hypotheses) == 2
    turned = np.eye(4)
    turned[:3, :3] = HALF_TURN.numpy()
    center = np.eye(4)
    center[:3, 3] = place.normalization.center
    twin = center @ turned @ np.linalg.inv(center) @ true
    for expected in (true, twin):  # both are listed, whichever is first
        errors = [pose_errors(expected, h.T_map_cam) for h in answer.hypotheses]
        assert min(error[0] for error in errors) / place.unit < 2e-3
    confidences = [hypothesis.confidence for hypothesis in answer.hypotheses]
    assert min(confidences) > 0.5
    assert answer.confidence == confidences[0]


def test_without_the_twins_it_is_localized():
    answer, true, place = answered(symmetric=False)
    assert answer.status == Status.LOCALIZED
    distance, angle = pose_errors(true, answer.T_map_cam)
    assert distance / place.unit < 2e-3
    assert angle < 0.2
    assert len(answer.hypotheses) == 1  # the other side was soon given up
    answer = answered(symmetric=False, ambiguity_ratio=float('inf'))[0]
    assert answer.status == Status.LOCALIZED
    assert len(answer.hypotheses) == 2  # the other side is listed, but not trusted
    assert answer.hypotheses[1].confidence < 0.5


def test_what_counts_as_trusted_and_as_alike_can_be_set():
    assert answered(symmetric=True, ambiguity_ratio=1e-3)[0].status == Status.LOCALIZED
    strict = answered(symmetric=False, min_confidence=1.0)[0]
    assert strict.status == Status.NOT_LOCALIZED
    assert 'below the 1 from which' in strict.message


def test_the_covariance_is_scaled_and_turned_into_the_map():
    place = make_map()
    place.field = scene(symmetric=False)
    true = ring(8)[2:3]
    query = photograph(place.field, true, CAMERA)
    config = replace(configuration('fast'), matching=None)

    def covariance() -> np.ndarray:
        # one pose, so that nothing comes from the spread of several
        refined = refine(true, query, config, Run(place, torch.Generator().manual_seed(0)))
        return conclude(refined, query, config, Run(place, torch.Generator())).covariance

    before = covariance()
    assert np.linalg.eigvalsh(before).min() > 0
    place.calibration = replace(place.calibration, covariance_scale=12.0)  # that of make_map is 3
    assert covariance() == pytest.approx(4 * before, rel=1e-6)
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    place.T_map_scene[:3, :3] = turn
    turn = np.kron(np.eye(2), turn)
    assert covariance() == pytest.approx(4 * turn @ before @ turn.T, rel=1e-6)


def test_a_cancelled_run_renders_no_more():
    token = CancelToken()
    run = Run(make_map(), torch.Generator(), cancel=token)
    poses, camera = run.map.training_cameras[:1], run.map.camera.downscaled(8.0)
    assert len(run.field.render(poses, camera).rgb) == 1
    assert run.rays == camera.width * camera.height
    token.cancel()
    with pytest.raises(Exception) as raised:
        run.field.render(poses, camera)
    assert type(raised.value).__name__ == 'Cancelled'


def test_a_map_that_is_not_calibrated_is_never_sure():
    """However right the pose is, and however little trust is asked for."""
    answer, true, _ = answered(symmetric=False, n_right=2, min_confidence=0.0)
    assert pose_errors(answer.T_map_cam, true)[0] < 0.01
    assert answer.status == Status.NOT_LOCALIZED
    assert answer.confidence == 0
    assert 'not calibrated: only 2 of its held-out images' in answer.message
