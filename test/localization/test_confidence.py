# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from conftest import photograph
from scipy.spatial.transform import Rotation
from wall import CAMERA, VIEW, Wall, moved

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.confidence import Calibration, calibrate, covariance_map


def test_confidence_falls_with_the_error():
    calibration = Calibration(right_error=0.001, wrong_error=0.025)
    assert calibration.threshold == pytest.approx(0.005)
    assert calibration.confidence(0.001) == pytest.approx(0.9)
    assert calibration.confidence(0.005) == pytest.approx(0.5)
    assert calibration.confidence(0.025) == pytest.approx(0.1)
    errors = np.geomspace(1e-12, 1e3, 40)
    confidences = [calibration.confidence(error) for error in errors]
    assert confidences == sorted(confidences, reverse=True)
    assert all(0 <= confidence <= 1 for confidence in confidences)
    assert calibration.confidence(float('nan')) == 0


def test_calibration_tells_right_from_wrong():
    field = Wall()
    true = Pose.cat([moved(VIEW, 0.1, 10, seed) for seed in range(4)])
    rng = np.random.default_rng(0)
    queries = []
    for i in range(4):
        query = photograph(field, true[i : i + 1], CAMERA)
        noisy = (query.image + rng.normal(0, 10, query.image.shape)).clip(0, 255).astype(np.uint8)
        queries.append(type(query)(noisy, query.seen, query.camera, query.device))
    wrong = moved(VIEW, 0.3, 30, seed=9, n=30)
    calibration = calibrate(field, queries, true, wrong)
    # noise of 10 / 255 has the mean square 0.0015, less where it is cut off at black and white
    assert 0.0015 < calibration.right_error < 0.004
    errors = torch.stack([query.photometric_error(field, wrong).min() for query in queries])
    assert calibration.right_error < calibration.threshold < float(errors.min())


def test_covariance_is_about_fixed_axes_in_map_units():
    """Against samples: perturb in camera axes, express as rotations about the map's axes."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(6, 6))
    covariance = 1e-6 * (A @ A.T + np.eye(6))
    R = Rotation.random(random_state=1)
    pose = Pose(torch.from_numpy(R.as_matrix()), torch.zeros(3).double())
    got = covariance_map(torch.from_numpy(np.linalg.inv(covariance)), pose, unit=4.0).numpy()
    deltas = rng.multivariate_normal(np.zeros(6), covariance, size=20000)
    turned = (R * Rotation.from_rotvec(deltas[:, 3:]) * R.inv()).as_rotvec()
    samples = np.concatenate([4.0 * deltas[:, :3], turned], axis=1)
    expected = np.cov(samples.T)
    scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    np.testing.assert_allclose(got / scale, expected / scale, atol=0.05)
