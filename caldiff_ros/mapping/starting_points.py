# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points of a scene that Gaussians grow from: measured, found by features, or in silhouettes."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.mapping.bounds import visual_hull
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.sparse_points import SparsePoints
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.field import pixel_directions
from caldiff_ros.wording import counted

logger = logging.getLogger(__name__)

#: Points inside silhouettes at most: more of them end as noise inside the object.
_IN_SILHOUETTES = 8000
#: Voxels along each edge of the hull that points inside silhouettes are drawn from.
_HULL_RESOLUTION = 96
#: Random points, as a share of those of features, along pixels: bare walls have no features.
_RANDOM_SHARE = 0.3
#: Where features are few, random points are added up to this total: of a white-walled room,
#: images held out of a short training are explained 0.6 to 1 dB better from twice as many.
_ENOUGH = 10_000
#: Such a pixel has the depth of one of this many points that are nearest in the image.
_NEAREST = 3
#: With fewer points of features than this there is nothing to start from.
_FEWEST = 50


@dataclass(frozen=True)
class StartingPoints:
    """Points of a scene.

    Attributes:
        xyz: (N, 3), normalized coordinates.
        rgb: their colours in 0..1, (N, 3).
        source: where they come from, for reports.
    """

    xyz: Tensor
    rgb: Tensor
    source: str

    def __len__(self) -> int:
        return len(self.xyz)


def starting_points(
    views: Views,
    aabb: Tensor,
    count: int,
    context: BuildContext,
    sparse: SparsePoints | None = None,
) -> StartingPoints:
    """Points to start from, about ``count`` of them at most.

    The measured depth where there is one, the points of features that images share if they are
    enough, the inside of silhouettes for images with alpha, and else random points in the box.

    Args:
        views: the training images.
        aabb: box that holds the scene, (2, 3), normalized coordinates.
        count: how many points at most.
        context: seed, and receives the progress of 'points'.
        sparse: points of features that the images share, if there are any.
    """
    generator = context.generator()
    if views.depth is not None and bool((views.depth > 0).any()):
        points = measured_points(views, count, generator)
    elif sparse is not None and sparse.are_enough:
        points = sparse_points(views, sparse, count, generator)
    elif views.alpha is not None:
        points = points_in_silhouettes(views, aabb, min(count, _IN_SILHOUETTES), generator)
    elif sparse is not None and len(sparse) >= _FEWEST:
        points = sparse_points(views, sparse, count, generator)
    else:
        points = random_points(aabb, sparse, count, generator)

    context.progress('points', 1, 1)
    logger.info('the field is initialized with %d points: %s', len(points), points.source)
    return points


def measured_points(views: Views, count: int, generator: torch.Generator) -> StartingPoints:
    """Random pixels (at most ``count``) with a measured depth, as points."""
    depth = views.require_depth()
    known = ((depth > 0) & views.seen).flatten(1)
    chosen = known.flatten().nonzero()[:, 0]
    chosen = chosen[torch.randperm(len(chosen), generator=generator)[:count]]
    view, pixel = chosen // known.shape[1], chosen % known.shape[1]
    xyz = _points_of(views, view, pixel, depth.flatten()[chosen])

    return StartingPoints(xyz, views.rgb.flatten(0, 2)[chosen], 'measured depth')


def sparse_points(
    views: Views, sparse: SparsePoints, count: int, generator: torch.Generator
) -> StartingPoints:
    """Points of features (at most ``count``), and random pixels at their depths."""
    found = StartingPoints(sparse.xyz, sparse.rgb, sparse.source)
    xyz_of_views = [sparse.xyz[indices] for indices in sparse.seen_by]
    return _with_random_pixels(found, views, xyz_of_views, count, generator)


def points_in_silhouettes(
    views: Views, aabb: Tensor, count: int, generator: torch.Generator
) -> StartingPoints:
    """Random points, ``count`` of them, that no view with alpha shows as empty; grey."""
    voxels = visual_hull(views, aabb, _HULL_RESOLUTION).nonzero()
    if len(voxels) == 0:
        voxels = torch.full((1, 3), _HULL_RESOLUTION // 2)

    chosen = voxels[torch.randint(len(voxels), (count,), generator=generator)]
    inside = torch.rand(count, 3, generator=generator)
    xyz = aabb[0] + (chosen + inside) / _HULL_RESOLUTION * (aabb[1] - aabb[0])
    return StartingPoints(xyz, torch.full((count, 3), 0.5), 'inside the silhouettes')


def random_points(
    aabb: Tensor, sparse: SparsePoints | None, count: int, generator: torch.Generator
) -> StartingPoints:
    """Random points, ``count`` of them, in the box; grey."""
    xyz = aabb[0] + torch.rand(count, 3, generator=generator) * (aabb[1] - aabb[0])
    n_found = 0 if sparse is None else len(sparse)
    source = f'random, as there {"is" if n_found == 1 else "are"} only {counted(n_found, "point")}'
    return StartingPoints(xyz, torch.full((count, 3), 0.5), source)


def _with_random_pixels(
    points: StartingPoints,
    views: Views,
    xyz_of_views: list[Tensor],
    count: int,
    generator: torch.Generator,
) -> StartingPoints:
    """At most ``count`` of the points, and random pixels at the depths beside them.

    Args:
        points: what was found.
        views: the images.
        xyz_of_views: for each view, those of the points that were found in it.
        count: how many points at most, without the random ones.
        generator: chooses.
    """
    kept = torch.randperm(len(points), generator=generator)[:count]
    n_random = max(round(_RANDOM_SHARE * len(kept)), min(_ENOUGH, count) - len(kept))
    more = _random_pixels(views, xyz_of_views, n_random, generator)
    return StartingPoints(
        torch.cat([points.xyz[kept], more.xyz]),
        torch.cat([points.rgb[kept], more.rgb]),
        f'{points.source}, {n_random} random',
    )


def _random_pixels(
    views: Views, found: list[Tensor], count: int, generator: torch.Generator
) -> StartingPoints:
    """Random pixels (``count``), each at the depth of a point that was found beside it."""
    having = [i for i, xyz in enumerate(found) if len(xyz)]
    view = torch.tensor(having)[torch.randint(len(having), (count,), generator=generator)]
    n_pixels = views.seen[0].numel()
    pixel = torch.randint(n_pixels, (count,), generator=generator)
    rank = torch.randint(_NEAREST, (count,), generator=generator)
    depth = torch.zeros(count)

    for i in having:
        here = view == i
        uv, z = _seen_from(found[i], views.T_norm_cam[i : i + 1], views.camera)
        places = torch.stack([pixel[here] % views.camera.width, pixel[here] // views.camera.width])
        nearest = cKDTree(uv.numpy()).query(places.T.numpy() + 0.5, k=min(_NEAREST, len(z)))[1]
        nearest = torch.from_numpy(nearest.reshape(int(here.sum()), -1))
        depth[here] = z[nearest.gather(1, rank[here, None] % nearest.shape[1])[:, 0]]

    covered = views.seen.flatten(1)[view, pixel]
    view, pixel, depth = view[covered], pixel[covered], depth[covered]
    rgb = views.rgb.flatten(1, 2)[view, pixel]
    return StartingPoints(_points_of(views, view, pixel, depth), rgb, 'random')


def _points_of(views: Views, view: Tensor, pixel: Tensor, depth: Tensor) -> Tensor:
    """Points (N, 3) at z-depths (N,) in pixels (N,) of views (N,)."""
    xyz_cam = pixel_directions(views.camera)[pixel] * depth[:, None]
    poses = views.T_norm_cam[view]
    return (poses.R @ xyz_cam[..., None])[..., 0] + poses.t


def point_depths(points: Tensor, T_norm_cam: Pose, camera: Camera) -> Tensor:
    """z-depths of points (N, 3) in the views (V,) that see them, normalized units, (M,)."""
    depths = []
    for i in range(len(T_norm_cam)):
        uv, z = _seen_from(points, T_norm_cam[i : i + 1], camera)
        u, v = uv.unbind(-1)
        inside = (z > 0) & (u > 0) & (u < camera.width) & (v > 0) & (v < camera.height)
        depths.append(z[inside])

    return torch.cat(depths)


def _seen_from(points: Tensor, pose: Pose, camera: Camera) -> tuple[Tensor, Tensor]:
    """Pixels (N, 2) and z-depths (N,) of points (N, 3) from a pose, (1,), also beside the image."""
    x, y, z = ((points - pose.t[0]) @ pose.R[0]).unbind(-1)
    return torch.stack([x / z * camera.fx + camera.cx, y / z * camera.fy + camera.cy], dim=-1), z
