# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where in the normalized cube, or around it, the scene lies."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linprog
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Normalization, Pose
from caldiff_ros.mapping.sparse_points import SparsePoints
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.field import pixel_directions

#: A voxel outside every picture proves nothing: it must lie in this share of the views.
_MIN_SEEN = 0.5
#: Alpha of a pixel that shows nothing.
_EMPTY = 1e-3
#: How far beyond the cameras a scene may reach where the images leave it open.
_REACH = 1.5
#: Points of structure from motion that lie further out than this share at each end of an axis are
#: wrong ones, or of a horizon.
_SPARSE_OUTLIERS_PERCENT = 1.0


def _voxel_centers(aabb: Tensor, resolution: int) -> Tensor:
    steps = (torch.arange(resolution) + 0.5) / resolution
    grid = torch.stack(torch.meshgrid(steps, steps, steps, indexing='ij'), dim=-1)
    return aabb[0] + grid.view(-1, 3) * (aabb[1] - aabb[0])


def _looked_up(image: Tensor, views: Views, view: int, points: Tensor) -> tuple[Tensor, Tensor]:
    """Value of an image (H, W) of a view at points (N, 3), and whether it sees them."""
    camera = views.camera
    pose = views.T_norm_cam[view]
    x, y, z = ((points - pose.t) @ pose.R).unbind(-1)
    u = (x / z * camera.fx + camera.cx) / camera.width * 2 - 1
    v = (y / z * camera.fy + camera.cy) / camera.height * 2 - 1
    inside = (z > 0) & (u.abs() < 1) & (v.abs() < 1)
    uv = torch.stack([u, v], dim=-1)[None, None]
    values = F.grid_sample(image[None, None], uv, mode='bilinear', align_corners=False)[0, 0, 0]

    return values, inside


def visual_hull(views: Views, aabb: Tensor, resolution: int) -> Tensor:
    """Voxels whose centre no view with alpha shows as empty.

    Args:
        views: images with alpha.
        aabb: box, (2, 3), normalized coordinates.
        resolution: voxels along each edge.

    Returns:
        bool (resolution, resolution, resolution), indexed [x, y, z].
    """
    points = _voxel_centers(aabb, resolution)
    empty = torch.zeros(len(points), dtype=torch.bool)
    seen = torch.zeros(len(points))

    for i, alpha in enumerate(views.require_alpha()):
        around = F.max_pool2d(alpha[None, None], 3, stride=1, padding=1)[0, 0]
        at, inside = _looked_up(around, views, i, points)
        empty |= inside & (at < _EMPTY)
        seen += inside

    hull = ~empty & (seen >= _MIN_SEEN * len(views))
    return hull.view(resolution, resolution, resolution)


def silhouette_bounds(views: Views) -> Tensor:
    """Box around all points that lie in the rectangle around the silhouette in every view.

    A side of a rectangle at the edge of the image says nothing, as the object may go on there; so
    may the box be as large as a scene can reach.

    Args:
        views: images with alpha.

    Returns:
        (2, 3), normalized coordinates.

    Raises:
        CaldiffError: if there is no such point.
    """
    camera = views.camera
    normals = []
    offsets = []
    for alpha, R, t in zip(
        views.require_alpha(), views.T_norm_cam.R, views.T_norm_cam.t, strict=True
    ):
        covered = alpha >= _EMPTY
        if not bool(covered.any()):
            continue

        sides = [
            *_sides(covered.any(0), camera.fx, camera.cx, torch.tensor([1.0, 0.0, 0.0])),
            *_sides(covered.any(1), camera.fy, camera.cy, torch.tensor([0.0, 1.0, 0.0])),
            torch.tensor([0.0, 0.0, 1.0]),
        ]
        normals.append(torch.stack(sides) @ R.T)
        offsets.append(normals[-1] @ t)

    if not normals:
        raise _nothing_in_common(views)

    # the points p inside, normal @ p >= offset, as linprog wants them
    A, b = (-torch.cat(rows).double().numpy() for rows in (normals, offsets))
    reach = _reach(views.T_norm_cam).double().numpy()
    corners = np.empty((2, 3))

    for axis, direction in enumerate(np.eye(3)):
        for end, sign in ((0, 1.0), (1, -1.0)):
            found = linprog(sign * direction, A, b, bounds=reach.T)
            if not found.success:
                raise _nothing_in_common(views)
            corners[end, axis] = found.x[axis]

    return torch.from_numpy(corners).float()


def _sides(covered: Tensor, focal: float, center: float, axis: Tensor) -> list[Tensor]:
    """Inward normals (3,) of the planes through a camera and the ends of what is covered.

    Args:
        covered: which columns or rows of pixels show something, bool (N,).
        focal: focal length along them, in pixels.
        center: principal point along them, in pixels.
        axis: unit vector along them, (3,), in the camera frame.
    """
    forward = torch.tensor([0.0, 0.0, 1.0])
    first, last = covered.nonzero()[[0, -1], 0].tolist()
    sides = []
    if first > 0:
        sides.append(axis + (center - (first - 1)) / focal * forward)
    if last < len(covered) - 1:
        sides.append(-axis + (last + 2 - center) / focal * forward)

    return sides


def _hull_bounds(views: Views) -> Tensor:
    coarse = 96
    around = silhouette_bounds(views)
    voxels = visual_hull(views, around, coarse).nonzero()
    if len(voxels) == 0:
        raise _nothing_in_common(views)

    share = torch.stack([voxels.amin(0) - 1, voxels.amax(0) + 2]) / coarse
    return around[0] + share * (around[1] - around[0])


def _nothing_in_common(views: Views) -> CaldiffError:
    return CaldiffError(
        f'the alpha channels of the {len(views)} training images have no point in common, '
        'expected silhouettes of one object; check the poses and the alpha channels'
    )


def depth_bounds(views: Views) -> Tensor:
    """Box around what the depth of views shows, (2, 3), normalized coordinates."""
    measured = views.require_depth()
    directions = pixel_directions(views.camera)
    found = []

    for depth, R, t in zip(measured, views.T_norm_cam.R, views.T_norm_cam.t, strict=True):
        known = depth.view(-1) > 0
        found.append((directions[known] * depth.view(-1)[known, None]) @ R.T + t)

    return box_around(torch.cat(found)[:: max(1, len(found) // 4)], outliers_percent=0.2)


def box_around(points: Tensor, outliers_percent: float) -> Tensor:
    """Box around points (N, 3) but a share of outliers at each end, with a margin, (2, 3)."""
    ends = [outliers_percent, 100 - outliers_percent]
    low, high = np.percentile(points.numpy(), ends, axis=0)
    margin = 0.02 * (high - low)

    return torch.from_numpy(np.stack([low - margin, high + margin])).float()


def scene_bounds(
    views: Views,
    normalization: Normalization,
    aabb_map: np.ndarray | None,
    points: SparsePoints | None = None,
) -> Tensor:
    """Box that holds the scene, (2, 3), normalized coordinates.

    In order: the visual hull of images with alpha, the box that the dataset names (``aabb_map``,
    map coordinates), the measured depth, the points of structure from motion with the cameras, and
    else the cameras and as much space around them.
    """
    if views.alpha is not None:
        return _hull_bounds(views)
    if aabb_map is not None:
        return normalization.points_to_norm(torch.as_tensor(aabb_map)).float()
    if views.depth is not None and bool((views.depth > 0).any()):
        return depth_bounds(views)
    if points is not None and points.are_enough:
        box = box_around(points.xyz, _SPARSE_OUTLIERS_PERCENT)
        centers = views.T_norm_cam.t
        return torch.stack(
            [torch.minimum(box[0], centers.amin(0)), torch.maximum(box[1], centers.amax(0))]
        )

    return _reach(views.T_norm_cam)


def _reach(cameras: Pose) -> Tensor:
    """Box around cameras (V,) and as much space around them as a scene may take, (2, 3)."""
    return torch.stack([cameras.t.amin(0) - _REACH, cameras.t.amax(0) + _REACH])
