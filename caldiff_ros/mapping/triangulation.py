# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of neighbouring views, and points triangulated from features that they share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.views import Views

#: A view is matched with this many others, those that look at the same from nearest by.
_NEIGHBORS = 20
#: How far a triangulated point may lie from its features, in pixels, and the least angle between
#: its rays.
_MAX_ERROR_PX, _MIN_ANGLE_DEG = 1.5, 1.0
#: How far a turn by one radian counts, as a share of the distance between the outermost cameras.
_RADIAN = 0.5


def neighbor_pairs(cameras: Pose) -> list[tuple[int, int]]:
    """Pairs of cameras (V,) that look at the same from near each other, each pair both ways."""
    angle = torch.deg2rad(cameras[:, None].rotation_error_deg(cameras[None]))
    between = torch.cdist(cameras.t, cameras.t)
    distance = between / between.max().clamp_min(1e-9) + _RADIAN * angle
    distance.fill_diagonal_(torch.inf)
    nearest = distance.topk(min(_NEIGHBORS, len(cameras) - 1), largest=False).indices
    return [(i, j) for i, row in enumerate(nearest.tolist()) for j in row]


def triangulate(
    views: Views, pair: tuple[int, int], first: Tensor, second: Tensor
) -> tuple[Tensor, Tensor]:
    """Points (M, 3) nearest to the rays through places (M, 2) in two views.

    Returns:
        The points, and the angle between their rays in radians, 0 where a point is none: behind a
        camera, far from its features, or at too small an angle.
    """
    camera = views.camera
    center, focal = torch.tensor([camera.cx, camera.cy]), torch.tensor([camera.fx, camera.fy])
    origins, rays = [], []
    for view, places in zip(pair, (first, second), strict=True):
        xy1 = torch.nn.functional.pad((places - center) / focal, (0, 1), value=1.0)
        pose = views.T_norm_cam[view]
        rays.append(torch.nn.functional.normalize(xy1 @ pose.R.T, dim=-1).double())
        origins.append(pose.t.double())

    # where the rays are nearest to each other
    baseline = origins[1] - origins[0]
    cosine = (rays[0] * rays[1]).sum(-1)
    sine2 = (1 - cosine**2).clamp_min(1e-12)
    along = [rays[0] @ baseline, rays[1] @ baseline]
    far = [(along[0] - cosine * along[1]) / sine2, (cosine * along[0] - along[1]) / sine2]
    points = [o + t[:, None] * ray for o, t, ray in zip(origins, far, rays, strict=True)]
    xyz = ((points[0] + points[1]) / 2).float()

    good = (far[0] > 0) & (far[1] > 0)
    for view, places in zip(pair, (first, second), strict=True):
        pose = views.T_norm_cam[view]
        p = (xyz - pose.t) @ pose.R
        error = (p[:, :2] / p[:, 2:] * focal + center - places).norm(dim=-1)
        good &= (p[:, 2] > 0) & (error < _MAX_ERROR_PX)

    angle = torch.asin(sine2.sqrt().clamp_max(1)).float()
    good &= angle > np.radians(_MIN_ANGLE_DEG)
    return xyz, torch.where(good, angle, 0.0)
