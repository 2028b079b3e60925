# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which way is up: what most cameras were held to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gravity:
    """Vertical of a reconstruction.

    Attributes:
        R_map_sfm: (3, 3), turns the mean up vector of the cameras to z.
        deviation_deg: median angle between a camera's up vector and the vertical.
    """

    R_map_sfm: np.ndarray
    deviation_deg: float


def find_gravity(R_sfm_cam: np.ndarray) -> Gravity:
    """The mean up vector of cameras.

    Args:
        R_sfm_cam: rotations (N, 3, 3) of optical cameras (y down).
    """
    up_sfm = -R_sfm_cam[:, :, 1]
    mean = up_sfm.mean(axis=0)
    length = np.linalg.norm(mean)
    # as many upside down as upright: nothing is said, and nothing is turned
    vertical = mean / length if length > 1e-6 else np.array([0.0, 0.0, 1.0])

    cosines = np.clip(up_sfm @ vertical, -1.0, 1.0)
    deviation = float(np.degrees(np.median(np.arccos(cosines))))
    return Gravity(_turn_to_z(vertical), deviation)


def _turn_to_z(vertical: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that takes a unit vector (3,) to z."""
    x, y, z = vertical
    if z < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])

    # Rodrigues' formula about the cross product of the vector and z
    K = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0.0]])
    return np.eye(3) + K + K @ K / (1 + z)
