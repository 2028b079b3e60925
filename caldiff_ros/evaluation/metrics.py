# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Errors of poses and rates of success."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.correctness import RIGHT, nees

#: The paper's thresholds: translation in normalized units, rotation in degrees.
THRESHOLDS = ((0.01, 2.0), (0.025, 5.0), (0.05, 10.0), (0.1, 20.0))

#: Separates methods that the paper's thresholds no longer distinguish.
TIGHT_THRESHOLD = (0.0025, 0.5)

#: Usual thresholds of real scenes: translation in metres, rotation in degrees.
METRIC_THRESHOLDS = {'success_5cm_5deg': (0.05, 5.0), 'success_2cm_2deg': (0.02, 2.0)}


def pose_errors(T_true: np.ndarray, T_estimate: np.ndarray | None) -> tuple[float, float]:
    """Distance of the camera centres and geodesic angle of the rotations.

    Args:
        T_true: (4, 4) camera to map.
        T_estimate: (4, 4) camera to map, or None for no answer.

    Returns:
        Translation error in map units and rotation error in degrees; both infinite where there is
        no estimate or one that is not finite.
    """
    if T_estimate is None or not np.isfinite(T_estimate).all():
        return float('inf'), float('inf')

    true = Pose.from_matrix(np.asarray(T_true, dtype=np.float64))
    estimate = Pose.from_matrix(np.asarray(T_estimate, dtype=np.float64))
    return true.translation_error(estimate).item(), true.rotation_error_deg(estimate).item()


def is_right(translation_norm: float, rotation_deg: float) -> bool:
    """Whether a pose is within `RIGHT`."""
    return translation_norm <= RIGHT[0] and rotation_deg <= RIGHT[1]


def pose_nees(
    T_true: np.ndarray, T_estimate: np.ndarray | None, covariance: np.ndarray | None
) -> float:
    """`nees` of an answer.

    Args:
        T_true: (4, 4) camera to map.
        T_estimate: (4, 4) camera to map, or None for no answer.
        covariance: (6, 6) of (x, y, z, rotation about the map's x, y, z), map units and radians.

    Returns:
        The squared Mahalanobis distance of the error; NaN without an estimate.
    """
    if T_estimate is None or covariance is None:
        return float('nan')

    turn = Rotation.from_matrix(T_true[:3, :3] @ T_estimate[:3, :3].T).as_rotvec()
    error = np.concatenate([T_true[:3, 3] - T_estimate[:3, 3], turn])
    return nees(torch.from_numpy(error), torch.from_numpy(covariance))


def success_percent(
    translation: np.ndarray, rotation_deg: np.ndarray, threshold: tuple[float, float]
) -> float:
    """Percent of queries with both errors below the threshold.

    Args:
        translation: errors (N,), in the unit of ``threshold[0]``.
        rotation_deg: errors (N,) in degrees.
        threshold: translation, and rotation in degrees.
    """
    success = (np.asarray(translation) < threshold[0]) & (np.asarray(rotation_deg) < threshold[1])
    return 100 * float(np.mean(success))
