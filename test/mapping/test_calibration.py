# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibration in a scene that can be photographed at will."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from blobs import CAMERA, Blobs, photographed, ring

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.confidence import Calibration, Evidence
from caldiff_ros.localization.correctness import is_wrong
from caldiff_ros.localization.pnp import Matched
from caldiff_ros.mapping.calibration import (
    CalibrationConfig,
    calibrate,
    check_agreement,
    queries_of,
    scrambled,
)
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.covariance_scales import (
    Estimates,
    covariance_scale,
    matched_near,
    scales_of,
)
from maps import CALIBRATION

SMALL = CAMERA.downscaled(2)


def test_right_and_wrong_answers_are_told_apart():
    """Photographs with noise; judged on other photographs than those that were measured."""
    field = Blobs(n=8)
    views = photographed(field, ring(3), SMALL)
    noise = 0.02 * torch.randn(views.rgb.shape, generator=torch.Generator().manual_seed(0))
    views = replace(views, rgb=(views.rgb + noise).clamp_min(0).minimum(views.alpha[..., None]))
    calibration = calibrate(field, views, CALIBRATION.image, BuildContext())
    assert calibration.n_right == 3
    assert calibration.n_wrong > 15
    # the noise has the mean square 0.0004, less where it was cut off
    assert 5e-5 < calibration.right_difference[1] < 5e-4 < calibration.wrong_difference[0]
    assert calibration.covariance_scale > 0
    others = ring(4, phase=0.4)[:2]
    for i, query in enumerate(queries_of(photographed(field, others, SMALL), field)):
        right = Evidence.of(field.render(others[i : i + 1], query.camera), query)
        wrong = Evidence.of(field.render(others[[1 - i]], query.camera), query)
        confidences = [calibration.confidence(e.difference.item(), e.similarity.item())
                       for e in (right, wrong)]  # fmt: skip
        assert confidences[0] > 0.7
        assert confidences[1] < 0.3


class LandmarksOffBy:
    """Landmarks that find each view's pose off by so much, and claim to be exact to 0.001."""

    def __init__(self, true, off):
        moved = true.retract(off.expand(len(true), 6))
        self._found = iter([moved[i : i + 1] for i in range(len(true))])

    def match(self, features, start, camera, config):
        return Matched(next(self._found), 50, 1e-6 * torch.eye(6).double())


def test_what_landmarks_claim_is_scaled_to_their_errors():
    """An error of 0.006 along one axis has the NEES 36, six times what is expected."""
    field, true = Blobs(n=8), ring(3)
    off = torch.tensor([0.006, 0, 0, 0, 0, 0])
    views = photographed(field, true, CAMERA.downscaled(4))
    calibration = calibrate(
        field, views, CALIBRATION.image, BuildContext(), landmarks=LandmarksOffBy(true, off)
    )
    assert calibration.landmark_scale == pytest.approx(6, rel=1e-3)


def test_wrong_landmarks_say_nothing_of_right_ones():
    field, true = Blobs(n=8), ring(3)
    [query, *_] = queries_of(photographed(field, true, CAMERA.downscaled(4)), field)
    for size, is_near in ((0.006, True), (0.3, False)):
        landmarks = LandmarksOffBy(true, torch.tensor([size, 0, 0, 0, 0, 0]))
        _, found = matched_near(field, query, true[:1], truth=true[:1], landmarks=landmarks)
        assert (found is not None) == is_near


@pytest.mark.parametrize(('together', 'expected'), [(True, 3.0), (False, 1.0)])
def test_estimates_that_err_together_are_not_better_for_agreeing(together, expected):
    """Three with the same error promise a third of the covariance, and keep the error."""
    random = torch.Generator().manual_seed(0)
    truth, estimates = Pose.identity(1).to(torch.float64), []
    for _ in range(1000):
        errors = 1e-3 * torch.randn(3, 6, generator=random, dtype=torch.float64)
        found = truth[[0, 0, 0]].retract(errors[[0, 0, 0]] if together else errors)
        claimed = [(found[i : i + 1], 1e-6 / (i + 1) * torch.eye(6).double()) for i in range(3)]
        estimates.append(Estimates(truth, *claimed))
    scales = scales_of(estimates)
    assert scales[:3] == pytest.approx((1, 2, 3), rel=0.1)
    assert scales.fused == pytest.approx(expected, rel=0.1)


def test_the_covariance_scale_of_errors_of_known_covariance():
    random = np.random.default_rng(0)
    squared = (random.standard_normal((20_000, 6)) ** 2).sum(1)
    assert covariance_scale(squared) == pytest.approx(1, abs=0.02)
    assert covariance_scale(9 * squared) == pytest.approx(9, abs=0.2)
    # a hundredth of them ended elsewhere
    squared[:200] = 1e6
    assert covariance_scale(squared) == pytest.approx(1, abs=0.02)


def test_wrong_means_far_in_place_or_angle():
    true = ring(1)
    delta = torch.zeros(4, 6)
    delta[1, 0], delta[2, 4], delta[3, 2] = 0.06, 0.2, 0.04  # 0.2 rad are 11 degrees
    poses = true[[0, 0, 0, 0]].retract(delta)
    assert is_wrong(poses, true[0]).tolist() == [False, True, True, False]


def test_scrambling_keeps_the_colours_and_loses_the_place():
    image = np.random.default_rng(0).integers(0, 256, (43, 50, 3), np.uint8)
    mixed = scrambled(image, torch.Generator().manual_seed(1))
    assert not np.array_equal(mixed, image)
    for channel in range(3):
        assert np.array_equal(
            np.sort(mixed[..., channel], None), np.sort(image[..., channel], None)
        )


def test_a_fifth_of_the_images_is_held_out_but_not_more_than_needed():
    config = CalibrationConfig(views=16, share=0.2)
    assert [int(config.held_out(n, 0).sum()) for n in (2, 6, 15, 50, 200)] == [1, 3, 3, 10, 16]
    assert torch.equal(config.held_out(50, 3), config.held_out(50, 3))
    assert not torch.equal(config.held_out(50, 3), config.held_out(50, 4))


def test_poses_that_fit_no_image_calibrate_nothing():
    """Every photograph has the pose of another one, and a build says so."""
    field = Blobs(n=8)
    views = photographed(field, ring(5), CAMERA.downscaled(4))
    shuffled = replace(views, T_norm_cam=views.T_norm_cam[[2, 3, 4, 0, 1]])
    calibration = calibrate(field, shuffled, CALIBRATION.image, BuildContext())
    assert calibration.problem
    assert calibration.confidence(1e-6, 0.99) == 0
    again = Calibration.from_dict(json.loads(json.dumps(asdict(calibration))))
    assert again == calibration
    with pytest.raises(CaldiffError, match=r'^the images are not consistent: .*12\.3 dB'):
        check_agreement(calibration, 5, 12.34)
    # of two images nothing can be said, and a map is made all the same
    check_agreement(calibration, 2, 12.34)


@pytest.mark.parametrize(
    'changes',
    [
        {'n_right': 2},
        {'n_right': 0, 'right_difference': None, 'right_similarity': None},
        {'right_difference': (0.005, 0.011, 0.02)},
        {'right_similarity': (0.1, 0.19, 0.9)},
    ],
)
def test_too_few_right_poses_or_poses_like_wrong_ones_are_no_calibration(changes):
    assert not CALIBRATION.problem
    calibration = replace(CALIBRATION, **changes)
    assert calibration.problem
    assert calibration.confidence(1e-6, 0.99) == 0
