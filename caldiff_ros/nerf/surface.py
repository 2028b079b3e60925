# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A coarse coloured cloud of the surfaces of a field, as its training cameras see them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf.field import RadianceField

#: Rays per point: neighbouring cameras see the same surface, and one point per voxel stays.
_RAYS_PER_POINT = 3
_MAX_VIEWS = 64
#: Rays that end on a surface, and not between two or in mist.
_MIN_OPACITY, _MAX_DEPTH_STEP = 0.9, 0.1
#: Halvings of the interval that the size of a voxel is searched in.
_SEARCH_STEPS = 14


def surface_points(
    field: RadianceField,
    T_norm_cam: Pose,
    camera: Camera,
    n_points: int,
    check: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Points on surfaces, evenly spread, in the field's normalized coordinates.

    Args:
        field: the scene.
        T_norm_cam: cameras (V,) to look from; at most `_MAX_VIEWS` of them are used.
        camera: their intrinsics; the renders are smaller.
        n_points: largest number of points.
        check: called between renders; what it raises ends the work.

    Returns:
        Points (N, 3) float32 and their colours (N, 3) uint8, N <= n_points.
    """
    n_views = min(len(T_norm_cam), _MAX_VIEWS)
    chosen = T_norm_cam[np.linspace(0, len(T_norm_cam) - 1, n_views).round().astype(int).tolist()]
    pixels = n_views * camera.width * camera.height
    small = camera.downscaled(max(1.0, math.sqrt(pixels / (_RAYS_PER_POINT * n_points))))
    directions = torch.from_numpy(small.pixel_directions()).view(small.height, small.width, 3)
    points, colors = [], []

    for i in range(n_views):
        check()
        pose = chosen[i : i + 1]
        out = field.render(pose, small)
        depth = out.depth[0].cpu()
        points_cam = depth[..., None] * directions.to(depth)
        pose = pose.to('cpu', torch.float32)
        points_norm = points_cam @ pose.R[0].T + pose.t[0]
        kept = (out.opacity[0].cpu() >= _MIN_OPACITY) & _smooth(depth)
        points.append(points_norm[kept].numpy())
        colors.append(out.rgb[0].clamp(0, 1).cpu()[kept].numpy())

    return _thinned(np.concatenate(points), np.concatenate(colors), n_points)


def _smooth(depth: torch.Tensor) -> torch.Tensor:
    """Which pixels of a depth image (H, W) differ little from the next ones in row and column."""
    smooth = torch.ones_like(depth, dtype=torch.bool)
    for dim in (0, 1):
        if depth.shape[dim] > 1:
            step = depth.diff(dim=dim).abs()
            steep = step > _MAX_DEPTH_STEP * depth.narrow(dim, 0, depth.shape[dim] - 1)
            smooth.narrow(dim, 0, depth.shape[dim] - 1).logical_and_(~steep)
            smooth.narrow(dim, 1, depth.shape[dim] - 1).logical_and_(~steep)

    return smooth


def _thinned(
    points: np.ndarray, colors: np.ndarray, n_points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean point and colour of every voxel, of the smallest voxels that are few enough.

    Args:
        points: (M, 3).
        colors: (M, 3) in 0..1.
        n_points: largest number of voxels.
    """
    if len(points) == 0:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)

    extent = max(float(np.ptp(points, axis=0).max()), 1e-6)
    low = 0.0
    high = 2 * extent  # all points are in one voxel, or at most eight
    voxel = _voxels(points, high)

    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        trial = _voxels(points, middle)

        if trial.max() < n_points:
            high = middle
            voxel = trial
        else:
            low = middle

    count = np.bincount(voxel)[:, None]
    mean = [
        np.stack([np.bincount(voxel, values[:, i]) for i in range(3)], axis=-1) / count
        for values in (points, colors)
    ]
    return mean[0].astype(np.float32), (255 * mean[1]).round().astype(np.uint8)


def _voxels(points: np.ndarray, size: float) -> np.ndarray:
    """Number of the occupied voxel of each point, from 0 on."""
    cells = ((points - points.min(axis=0)) / size).astype(np.int64)
    width = cells.max(axis=0) + 1
    flat = (cells[:, 0] * width[1] + cells[:, 1]) * width[2] + cells[:, 2]
    return np.unique(flat, return_inverse=True)[1].ravel()
