# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras as they are drawn."""

from __future__ import annotations

import numpy as np

from caldiff_ros.geometry.camera import Camera

#: Corners of a frustum (0 is the apex) joined by its eight edges.
_EDGES = (0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 2, 3, 3, 4, 4, 1)


def frustum_edges(T_map_cam: np.ndarray, camera: Camera, depth: float) -> np.ndarray:
    """End points (P, 16, 3), in the map, of the frustums of optical cameras (P, 4, 4).

    Args:
        T_map_cam: poses.
        camera: gives the opening angles.
        depth: distance of the frustum's base from the camera, in map units.
    """
    u, v = np.array([0, 1, 1, 0]) * camera.width, np.array([0, 0, 1, 1]) * camera.height
    base = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(4)], -1)
    corners_cam = np.concatenate([np.zeros((1, 3)), depth * base])
    corners = corners_cam @ T_map_cam[:, :3, :3].transpose(0, 2, 1) + T_map_cam[:, None, :3, 3]

    return corners[:, _EDGES]
