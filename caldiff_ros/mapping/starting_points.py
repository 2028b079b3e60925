# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points of a scene that Gaussians grow from: measured, triangulated, or inside silhouettes."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.mapping.bounds import visual_hull
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.sparse_points import SparsePoints
from caldiff_ros.mapping.triangulation import neighbor_pairs, triangulate
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.field import pixel_directions
from caldiff_ros.scenes.features import features_of, matches
from caldiff_ros.wording import counted

logger = logging.getLogger(__name__)

#: Points inside silhouettes at most: more of them end as noise inside the object.
_IN_SILHOUETTES = 8000
#: Voxels along each edge of the hull that points inside silhouettes are drawn from.
_HULL_RESOLUTION = 96
#: Random points, as a share of the triangulated ones, along pixels: bare walls have no features.
_RANDOM_SHARE = 0.3
#: With fewer triangulated points than this there is nothing to start from.
_FEWEST = 50
_REPORTED_EVERY = 20


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

    The measured depth where there is one, the points of structure from motion if they are enough,
    the inside of silhouettes for images with alpha, and else features matched between views and
    triangulated with their poses.

    Args:
        views: the training images.
        aabb: box that holds the scene, (2, 3), normalized coordinates.
        count: how many points at most.
        context: seed, and receives the progress of 'points'.
        sparse: points of structure from motion, if there are any.
    """
    generator = context.generator()
    if views.depth is not None and bool((views.depth > 0).any()):
        points = measured_points(views, count, generator)
    elif sparse is not None and sparse.are_enough:
        points = sparse_points(views, sparse, count, generator)
    elif views.alpha is not None:
        points = points_in_silhouettes(views, aabb, min(count, _IN_SILHOUETTES), generator)
    else:
        points = triangulated_points(views, aabb, count, context)

    context.progress('points', 1, 1)
    logger.info('the field starts from %d points: %s', len(points), points.source)
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
    """Points of structure from motion (at most ``count``), and random pixels at their depths."""
    found = StartingPoints(sparse.xyz, sparse.rgb, 'structure from motion')
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


def triangulated_points(
    views: Views, aabb: Tensor, count: int, context: BuildContext
) -> StartingPoints:
    """Features matched between neighbouring views, triangulated with the known poses.

    To these come random pixels at the depths that triangulated points have in their views, as bare
    walls have no features; if nothing can be triangulated, random points in the box.
    """
    generator = context.generator()
    features = [
        features_of((image * 255).to(torch.uint8).numpy(), seen.numpy())
        for image, seen in zip(views.rgb, views.seen, strict=True)
    ]
    best_xyz = [torch.zeros(len(places), 3) for places, _ in features]
    best_angle = [torch.zeros(len(places)) for places, _ in features]
    pairs = neighbor_pairs(views.T_norm_cam)

    for done, (i, j) in enumerate(pairs):
        # 1. Match, and triangulate what matches
        in_i, in_j = matches(features[i][1], features[j][1])
        xyz, angle = triangulate(views, (i, j), features[i][0][in_i], features[j][0][in_j])

        # 2. Keep of each feature the point whose rays cross at the largest angle
        better = angle > best_angle[i][in_i]
        best_angle[i][in_i[better]] = angle[better]
        best_xyz[i][in_i[better]] = xyz[better]
        if done % _REPORTED_EVERY == 0:
            context.progress('points', done, len(pairs))

    found = [angle > 0 for angle in best_angle]
    n_found = sum(int(good.sum()) for good in found)
    if n_found < _FEWEST:
        xyz = aabb[0] + torch.rand(count, 3, generator=generator) * (aabb[1] - aabb[0])
        source = f'random, as only {counted(n_found, "feature")} could be triangulated'
        return StartingPoints(xyz, torch.full((count, 3), 0.5), source)

    # 3. Their colours, and random pixels at the depths that are found in each view
    xyz_of_views = [xyz[good] for xyz, good in zip(best_xyz, found, strict=True)]
    xyz = torch.cat(xyz_of_views)
    places = [places[good].long() for (places, _), good in zip(features, found, strict=True)]
    rgb = torch.cat(
        [image[uv[:, 1], uv[:, 0]] for image, uv in zip(views.rgb, places, strict=True)]
    )
    source = f'{n_found} triangulated features of {len(pairs)} pairs of views'
    return _with_random_pixels(
        StartingPoints(xyz, rgb, source), views, xyz_of_views, count, generator
    )


def _with_random_pixels(
    points: StartingPoints,
    views: Views,
    xyz_of_views: list[Tensor],
    count: int,
    generator: torch.Generator,
) -> StartingPoints:
    """At most ``count`` of the points, and random pixels at the depths that each view has.

    Args:
        points: what was found.
        views: the images.
        xyz_of_views: for each view, those of the points that were found in it.
        count: how many points at most, without the random ones.
        generator: chooses.
    """
    kept = torch.randperm(len(points), generator=generator)[:count]
    n_random = round(_RANDOM_SHARE * len(kept))
    more = _random_pixels(views, xyz_of_views, n_random, generator)
    return StartingPoints(
        torch.cat([points.xyz[kept], more.xyz]),
        torch.cat([points.rgb[kept], more.rgb]),
        f'{points.source}, {n_random} random',
    )


def _random_pixels(
    views: Views, found: list[Tensor], count: int, generator: torch.Generator
) -> StartingPoints:
    """Random pixels (``count``) at random ones of the depths of the points found in their views."""
    having = [i for i, xyz in enumerate(found) if len(xyz)]
    view = torch.tensor(having)[torch.randint(len(having), (count,), generator=generator)]
    n_pixels = views.seen[0].numel()
    pixel = torch.randint(n_pixels, (count,), generator=generator)
    share = torch.rand(count, generator=generator)
    depth = torch.zeros(count)

    for i in having:
        here = view == i
        z = ((found[i] - views.T_norm_cam.t[i]) @ views.T_norm_cam.R[i])[:, 2]
        depth[here] = z[(share[here] * len(z)).long()]

    covered = views.seen.flatten(1)[view, pixel]
    view, pixel, depth = view[covered], pixel[covered], depth[covered]
    rgb = views.rgb.flatten(1, 2)[view, pixel]
    return StartingPoints(_points_of(views, view, pixel, depth), rgb, 'random')


def _points_of(views: Views, view: Tensor, pixel: Tensor, depth: Tensor) -> Tensor:
    """Points (N, 3) at z-depths (N,) in pixels (N,) of views (N,)."""
    xyz_cam = pixel_directions(views.camera)[pixel] * depth[:, None]
    poses = views.T_norm_cam[view]
    return (poses.R @ xyz_cam[..., None])[..., 0] + poses.t


def point_depths(points: Tensor, views: Views) -> Tensor:
    """z-depths of points (N, 3) in the views that see them, normalized units, (M,)."""
    camera = views.camera
    depths = []
    for i in range(len(views)):
        x, y, z = ((points - views.T_norm_cam.t[i]) @ views.T_norm_cam.R[i]).unbind(-1)
        u, v = x / z * camera.fx + camera.cx, y / z * camera.fy + camera.cy
        inside = (z > 0) & (u > 0) & (u < camera.width) & (v > 0) & (v < camera.height)
        depths.append(z[inside])

    return torch.cat(depths)
