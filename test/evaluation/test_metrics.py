# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from caldiff_ros.evaluation.metrics import pose_errors, success_percent


def pose(rotvec_deg, translation):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotvec_deg, degrees=True).as_matrix()
    T[:3, 3] = translation
    return T


def test_errors_are_distance_and_angle():
    true = pose([0, 0, 90], [1, 2, 3])
    estimate = true @ pose([0, 12, 0], [0, 0, 0])
    estimate[:3, 3] += [0.3, 0, -0.4]
    assert pose_errors(true, estimate) == pytest.approx((0.5, 12.0))
    assert pose_errors(true, true) == pytest.approx((0, 0), abs=1e-6)


def test_half_a_turn_is_180_degrees():
    assert pose_errors(np.eye(4), pose([180, 0, 0], [0, 0, 0]))[1] == pytest.approx(180)


@pytest.mark.parametrize('estimate', [None, np.full((4, 4), np.nan)])
def test_no_answer_is_infinitely_wrong(estimate):
    assert pose_errors(np.eye(4), estimate) == (np.inf, np.inf)


def test_success_needs_translation_and_rotation():
    translation = [0.005, 0.005, 0.02, 0.005, np.inf]
    rotation = [1.0, 3.0, 1.0, 1.9, np.inf]
    assert success_percent(translation, rotation, (0.01, 2.0)) == pytest.approx(40.0)
    assert success_percent(translation, rotation, (0.025, 5.0)) == pytest.approx(80.0)
