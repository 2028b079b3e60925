# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether matches of two images agree with the poses of their cameras."""

from __future__ import annotations

import numpy as np

from caldiff_ros.geometry.transforms import inverse
from caldiff_ros.scenes.checking.pairs import ImagePair

#: A match agrees with the poses up to this distance in pixels.
AGREES_PX = 2.0
#: Points whose rays cross at a smaller angle have no depth.
_LEAST_ANGLE_RAD = np.radians(1.0)


def distances_px(pair: ImagePair, T_map_cam: np.ndarray, focal_factor: float = 1.0) -> np.ndarray:
    """Distance of each match from what the poses allow, in pixels, (M,).

    The poses allow one half of the epipolar line: on it lie the points in front of both cameras.
    Distances are the larger of those in the two images, infinite for what one of them has behind.

    Args:
        pair: M matches.
        T_map_cam: poses of all images, (V, 4, 4).
        focal_factor: of the focal lengths by which the directions of the matches were made.
    """
    T_i_j = inverse(T_map_cam[pair.i]) @ T_map_cam[pair.j]
    xy_i, xy_j = pair.xy_i / focal_factor, pair.xy_j / focal_factor
    larger = np.maximum(
        _distances_in_first(xy_i, xy_j, T_i_j), _distances_in_first(xy_j, xy_i, inverse(T_i_j))
    )
    return larger * pair.focal * focal_factor


def _distances_in_first(xy_i: np.ndarray, xy_j: np.ndarray, T_i_j: np.ndarray) -> np.ndarray:
    """From directions (M, 2) of camera i to the half lines that are those of camera j, (M,)."""
    at_infinity = rays(xy_j) @ T_i_j[:3, :3].T
    t = T_i_j[:3, 3]
    in_front = at_infinity[:, 2] > 1e-6
    start = at_infinity[:, :2] / np.where(in_front, at_infinity[:, 2], 1.0)[:, None]

    # the way that the projection takes as the point comes nearer
    way = t[:2] - start * t[2]
    way = way / np.linalg.norm(way, axis=1, keepdims=True).clip(1e-30)
    offset = xy_i - start
    along = (offset * way).sum(axis=1).clip(0)
    distance = np.linalg.norm(offset - along[:, None] * way, axis=1)
    return np.where(in_front, distance, np.inf)


def parallax_px(pair: ImagePair, T_map_cam: np.ndarray) -> np.ndarray:
    """How far the matches have moved beyond what the turn of the camera explains, in pixels."""
    R_i_j = T_map_cam[pair.i][:3, :3].T @ T_map_cam[pair.j][:3, :3]
    turned = rays(pair.xy_j) @ R_i_j.T
    with np.errstate(divide='ignore', invalid='ignore'):
        moved = turned[:, :2] / turned[:, 2:] - pair.xy_i
    return np.linalg.norm(moved, axis=1) * pair.focal


def depths_in_first(pair: ImagePair, T_map_cam: np.ndarray) -> np.ndarray:
    """z-depths (M,) of the matches in the first image, where their rays are nearest.

    NaN where the rays cross at too small an angle or behind a camera.
    """
    T_i_j = inverse(T_map_cam[pair.i]) @ T_map_cam[pair.j]
    ray_i = rays(pair.xy_i)
    ray_j = rays(pair.xy_j) @ T_i_j[:3, :3].T
    a, b, c = (np.sum(x * y, axis=1) for x, y in ((ray_i, ray_i), (ray_i, ray_j), (ray_j, ray_j)))
    d, e = ray_i @ T_i_j[:3, 3], ray_j @ T_i_j[:3, 3]
    denominator = a * c - b**2

    with np.errstate(divide='ignore', invalid='ignore'):
        z_i = (c * d - b * e) / denominator
        z_j = (b * d - a * e) / denominator

    good = (denominator > np.sin(_LEAST_ANGLE_RAD) ** 2 * a * c) & (z_i > 0) & (z_j > 0)
    return np.where(good, z_i, np.nan)


def rays(xy: np.ndarray) -> np.ndarray:
    """Directions (M, 3) with z = 1 of their x and y (M, 2)."""
    return np.concatenate([xy, np.ones((len(xy), 1))], axis=1)
