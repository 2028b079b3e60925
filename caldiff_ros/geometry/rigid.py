# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matrices that people or other programs give as poses, and OpenGL cameras as optical ones."""

from __future__ import annotations

import numpy as np

from caldiff_ros.errors import CaldiffError

#: Rotations of hand-edited and single-precision files are accepted up to this deviation.
_RIGID_TOLERANCE = 1e-2
_LAST_ROW_TOLERANCE = 1e-6
_FLIP_Y_Z = np.diag([1.0, -1.0, -1.0, 1.0])


def checked_pose(matrix: object, where: str) -> np.ndarray:
    """A rigid camera-to-world matrix, (4, 4) float64, its rotation made exactly orthonormal.

    Args:
        matrix: 4x4 or 3x4 numbers.
        where: what it is, for the message.
    """
    try:
        pose = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)

    if pose.shape not in ((4, 4), (3, 4)) or not np.isfinite(pose).all():
        raise CaldiffError(
            f'the pose of {where} has shape {pose.shape} or numbers that are not finite, expected '
            'a 4x4 matrix of numbers; repair or remove it'
        )

    if pose.shape == (4, 4) and np.abs(pose[3] - (0, 0, 0, 1)).max() > _LAST_ROW_TOLERANCE:
        raise CaldiffError(
            f'the last row of the pose of {where} is {pose[3].tolist()}, expected [0, 0, 0, 1]; '
            'transpose the matrix if this is the translation, or repair it'
        )

    R = pose[:3, :3]
    U, _, Vt = np.linalg.svd(R)

    if np.abs(R @ R.T - np.eye(3)).max() > _RIGID_TOLERANCE or np.linalg.det(R) < 0:
        raise CaldiffError(
            f'the pose of {where} is not rigid (determinant {np.linalg.det(R):.3g}), expected a '
            'rotation and a translation; remove scale and mirroring from it'
        )

    T_map_cam = np.eye(4)
    T_map_cam[:3, :3] = U @ Vt
    T_map_cam[:3, 3] = pose[:3, 3]

    return T_map_cam


def opengl_to_optical(T_map_camgl: np.ndarray) -> np.ndarray:
    """Camera-to-world matrices (..., 4, 4) of OpenGL cameras (y up, z back) as optical ones."""
    return T_map_camgl @ _FLIP_Y_Z


def optical_to_opengl(T_map_cam: np.ndarray) -> np.ndarray:
    """The inverse of `opengl_to_optical`: the flip is its own inverse."""
    return T_map_cam @ _FLIP_Y_Z
