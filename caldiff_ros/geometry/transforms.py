# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms between frames: matrices (4, 4) float64, ``T_a_b`` takes b to a."""

from __future__ import annotations

import numpy as np

from caldiff_ros.errors import CaldiffError

#: What `upright` takes besides numbers.
_AXES = {
    f'{sign}{axis}': (-1.0 if sign else 1.0) * np.eye(3)[i]
    for sign in ('', '-')
    for i, axis in enumerate('xyz')
}


def inverse(T_a_b: np.ndarray) -> np.ndarray:
    """T_b_a of a rigid transform."""
    T_b_a = np.eye(4)
    T_b_a[:3, :3] = T_a_b[:3, :3].T
    T_b_a[:3, 3] = -T_a_b[:3, :3].T @ T_a_b[:3, 3]
    return T_b_a


def map_to_child(T_map_cam: np.ndarray, T_child_cam: np.ndarray) -> np.ndarray:
    """T_map_child of a frame whose camera was localized.

    With the odometry as the child this is REP-105's map to odom: what turns where odometry has the
    camera at that moment into where the map has it.
    """
    return T_map_cam @ inverse(T_child_cam)


def mounted_camera(
    T_map_base: np.ndarray, covariance_base: np.ndarray, T_base_cam: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pose (4, 4) and covariance (6, 6) of a camera that is mounted on a base.

    Args:
        T_map_base: estimate of the base.
        covariance_base: (6, 6) of (x, y, z, rotation about the map's axes), map units and radians.
        T_base_cam: mounting of the optical camera.
    """
    x, y, z = T_map_base[:3, :3] @ T_base_cam[:3, 3]  # arm from base to camera, in the map

    J = np.eye(6)
    # a turn w of the base moves the camera by the cross product of w and the arm
    J[:3, 3:] = [[0, z, -y], [-z, 0, x], [y, -x, 0]]

    return T_map_base @ T_base_cam, J @ covariance_base @ J.T


def upward(given: str) -> np.ndarray:
    """The unit vector (3,) of ``x``, ``-y`` and so on, or of three numbers between commas.

    Raises:
        CaldiffError: if it is something else.
    """
    if given in _AXES:
        return _AXES[given]

    try:
        direction = np.array([float(number) for number in given.split(',')])
    except ValueError:
        direction = np.zeros(0)

    length = np.linalg.norm(direction)
    if direction.shape != (3,) or not 0 < length < np.inf:
        raise CaldiffError(
            f'the upward direction is {given!r}, expected x, y, z, -x, -y, -z or three numbers '
            'such as 0,-1,0; correct it'
        )
    return direction / length


def upright(up: str | None) -> np.ndarray:
    """The least turn (4, 4) after which ``up``, see `upward`, is z; None turns nothing."""
    T = np.eye(4)
    if up is None:
        return T

    x, y, z = upward(up)
    if z < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0, 1.0])

    # Rodrigues' formula for the turn about the cross product of both
    K = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    T[:3, :3] += K + K @ K / (1 + z)
    return T
