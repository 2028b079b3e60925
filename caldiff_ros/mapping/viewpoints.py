# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the photographs of a splat may have been taken, estimated from the splat alone.

A trainer makes Gaussians as small as the pixels of the photographs that show them. From where these
were taken, everything is made of Gaussians of a few pixels; elsewhere, behind walls or nearer to
something than any photograph, they are larger than that in the image, mostly by far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.diffusion.vectors import poses_of
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.particles import uniform_particles
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.landmark_views import spread_out
from caldiff_ros.mapping.splat_agreement import USUAL_SIDE
from caldiff_ros.mapping.upwards import Upward, seen_surfaces, up_of_cameras, up_of_surfaces
from caldiff_ros.nerf.field import Rendering
from caldiff_ros.nerf.gaussians import GaussianField
from caldiff_ros.nerf.splat_kernels import SH0
from caldiff_ros.nerf.splatting import splat

#: Longer side of the images by which viewpoints are judged.
_SIDE_PX = 80
#: Viewpoints that are drawn at first, drawn about the best in each round, and how many are best.
_FIRST, _DRAWN, _BEST, _ROUNDS = 500, 250, 60, 6
#: Rounds after which it is looked which way is up.
_UP_AFTER = 3
#: The box they are drawn from, as a multiple of the one that holds the scene.
_BOX = 1.3
#: By how much they are moved in the first round, in sides of the box, and turned; half as much in
#: every second round after.
_MOVED, _TURNED_DEG = 0.1, 20.0
#: How far cameras look downwards and upwards, degrees.
_TILTS_DEG = (-40.0, 20.0)
#: Least share of the pixels that show something, and the least distance to what is near, in sides
#: of the box and as a share of the median depth.
_OPAQUE, _NEAREST, _NEAREST_SHARE = 0.6, 0.02, 0.1
#: Sizes of Gaussians, as a factor, up to which viewpoints are taken: from those of the best tenth.
_LARGEST = 1.4
#: Deviation in pixels of the training of what is finest, if anything larger than usual: 1.7 and 5
#: in two splats. To take the images for larger than they were costs less than the opposite.
_TRAINED_PX = 4.5


@dataclass(frozen=True)
class Judged:
    """Viewpoints and how they look.

    Attributes:
        poses: of cameras (V,).
        size: mean logarithm of the deviation of the Gaussians in sight, in radians, (V,); infinite
            where too little is seen, or something is too near.
    """

    poses: Pose
    size: Tensor

    def __add__(self, other: Judged) -> Judged:
        return Judged(Pose.cat([self.poses, other.poses]), torch.cat([self.size, other.size]))

    def __getitem__(self, index: Tensor) -> Judged:
        return Judged(self.poses[index], self.size[index])


@dataclass(frozen=True)
class Viewpoints:
    """What was found.

    Attributes:
        poses: of cameras (V,), far from each other.
        focal_px: about the focal length of the images that the splat was trained on.
        up: direction that was found; None where it was known, or none is certain.
    """

    poses: Pose
    focal_px: float
    up: Upward | None = None


def find_viewpoints(
    field: GaussianField,
    box: Tensor,
    camera: Camera,
    count: int,
    up: Tensor | None,
    context: BuildContext,
) -> Viewpoints:
    """Look for viewpoints, at random at first and then about the best.

    Args:
        field: the splat, in any frame; `GaussianField.distances` are about the distances from which
            it will be seen.
        box: that holds the scene, (2, 3).
        camera: that takes the images.
        count: how many viewpoints.
        up: unit vector (3,) that points upwards; None looks for it, first all round and with any
            roll, which stays so if it is not found.
        context: seed, and receives the progress of 'viewpoints'.

    Raises:
        CaldiffError: if the splat shows nothing from anywhere in the box.
    """
    generator = context.generator()
    small = camera.downscaled(max(1.0, max(camera.width, camera.height) / _SIDE_PX))
    side = float((box[1] - box[0]).max())
    total = _FIRST + _ROUNDS * _DRAWN
    judge = _Judge(field, small, side)

    upward = None
    found = judge(drawn(box, _FIRST, up, generator))
    context.progress('viewpoints', _FIRST, total)
    for i in range(_ROUNDS):
        if up is None and i == _UP_AFTER:
            upward = judge.upward(found, generator)
            if upward is not None:
                up = upward.direction.float()
                found = judge(_held_upright(found, up)) + judge(drawn(box, _DRAWN, up, generator))

        best = found[found.size.argsort()[:_BEST]].poses
        around = best[torch.randint(len(best), (_DRAWN,), generator=generator)]
        shrink = 0.5 ** (i // 2)
        found += judge(_moved(around, shrink * side, shrink, up, generator))
        context.progress('viewpoints', _FIRST + (i + 1) * _DRAWN, total)

    seeing = found.size[found.size.isfinite()]
    if len(seeing) < 2:
        raise CaldiffError(
            f'no viewpoint shows the splat, of {total} in and around the '
            'box that holds most of it, expected a scene or an object; give photographs of it '
            'with their poses'
        )

    finest = float(seeing.quantile(0.1))
    chosen = found.poses[found.size <= finest + math.log(_LARGEST)]
    chosen = chosen[spread_out(chosen, count)]
    return Viewpoints(chosen, _TRAINED_PX / math.exp(finest), upward)


def given_viewpoints(
    field: GaussianField, box: Tensor, camera: Camera, count: int, poses: Pose
) -> Viewpoints:
    """The viewpoints that were used, and the size of the training as `find_viewpoints` has it.

    Args:
        field: the splat.
        box: that holds the scene, (2, 3).
        camera: that took the images, at the size that is listed.
        count: how many viewpoints.
        poses: of all cameras (V,).
    """
    chosen = poses[spread_out(poses, count)]
    small = camera.downscaled(max(1.0, max(camera.width, camera.height) / _SIDE_PX))
    sizes = _Judge(field, small, float((box[1] - box[0]).max()))(chosen).size
    # no trainer enlarges photographs, and most reduce large ones
    focal_px = camera.fx * min(1.0, USUAL_SIDE / max(camera.width, camera.height))
    seeing = sizes[sizes.isfinite()]
    if len(seeing) > 0:
        focal_px = min(focal_px, _TRAINED_PX / math.exp(float(seeing.quantile(0.1))))
    return Viewpoints(chosen, focal_px, up_of_cameras(poses))


def drawn(box: Tensor, n: int, up: Tensor | None, generator: torch.Generator) -> Pose:
    """Random poses (n,) in and around a box (2, 3); upright, if it is known what that is."""
    center, half = box.mean(0), _BOX / 2 * (box[1] - box[0])
    t = center + half * (2 * torch.rand(n, 3, generator=generator) - 1)
    if up is None:
        return Pose(poses_of(uniform_particles(n, generator)).R, t)

    low, high = (math.radians(tilt) for tilt in _TILTS_DEG)
    tilt = low + (high - low) * torch.rand(n, 1, generator=generator)
    heading = torch.nn.functional.normalize(_across(torch.randn(n, 3, generator=generator), up))
    return Pose(upright_axes(tilt.cos() * heading + tilt.sin() * up, up), t)


def upright_axes(forward: Tensor, up: Tensor) -> Tensor:
    """Rotations (n, 3, 3) of cameras that look along unit vectors (n, 3), x axes horizontal."""
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up.expand_as(forward)))
    return torch.stack([right, torch.linalg.cross(forward, right), forward], dim=-1)


def _held_upright(found: Judged, up: Tensor) -> Pose:
    """The best viewpoints, with x axes that are horizontal, where they look neither up nor down."""
    best = found[found.size.argsort()[: 2 * _BEST]].poses
    tilt_deg = torch.rad2deg((best.R[..., 2] @ up).clamp(-1, 1).asin())
    held = best[(tilt_deg > _TILTS_DEG[0]) & (tilt_deg < _TILTS_DEG[1])]
    return Pose(upright_axes(held.R[..., 2], up), held.t)


def _across(vectors: Tensor, up: Tensor) -> Tensor:
    """The horizontal parts of vectors (n, 3)."""
    return vectors - (vectors @ up)[:, None] * up


def _moved(
    poses: Pose, length: float, turn: float, up: Tensor | None, generator: torch.Generator
) -> Pose:
    """Poses (n,) moved and turned at random; upright ones stay upright."""
    noise = torch.randn(len(poses), 6, generator=generator)
    angles = turn * math.radians(_TURNED_DEG) * noise[:, 3:]
    moved = poses.retract(torch.cat([_MOVED * length * noise[:, :3], angles], dim=-1))
    return moved if up is None else Pose(upright_axes(moved.R[..., 2], up), moved.t)


class _Judge:
    """Looks at a splat from viewpoints.

    Args:
        field: the splat.
        camera: of small images.
        side: of the box that holds the scene.
    """

    def __init__(self, field: GaussianField, camera: Camera, side: float) -> None:
        self._field, self._camera, self._nearest = field, camera, _NEAREST * side
        gaussians = field.seen_by(camera)
        # the second axis: most are flat, and the first is that of needles
        sizes = gaussians.scales.sort(dim=1).values[:, 1].log()
        self._low, self._range = sizes.min(), (sizes.max() - sizes.min()).clamp_min(1e-6)
        shares = (sizes - self._low) / self._range
        # as colours, the same from all sides
        grey = ((shares - 0.5) / SH0)[:, None, None].expand(-1, 1, 3).contiguous()
        self._sized = gaussians._replace(harmonics=grey)

    def __call__(self, poses: Pose) -> Judged:
        on_device = poses.to(self._field.aabb.device)
        parts = [self._sizes(on_device[i : i + 1]) for i in range(len(poses))]
        return Judged(poses, torch.cat(parts).cpu())

    def upward(self, found: Judged, generator: torch.Generator) -> Upward | None:
        """Which way is up, by what the better ones show that see enough; None if none does."""
        seeing = found[found.size.isfinite()]
        better = seeing[seeing.size <= seeing.size.median()].poses if len(seeing.size) else None
        if better is None:
            return None

        looked_from = better[spread_out(better, _BEST)]
        return up_of_surfaces(*seen_surfaces(self._field, looked_from, self._camera), generator)

    def _sizes(self, pose: Pose) -> Tensor:
        """See `Judged.size`, of one pose (1,)."""
        out = self._field.render(pose, self._camera)[0]
        opaque = out.opacity > 0.5
        if float(opaque.float().mean()) < _OPAQUE or not self._is_free(out, opaque):
            return torch.full((1,), torch.inf)

        shown = splat(self._sized, pose, self._field.seen_with(self._camera))[0]
        share = shown[:, 0].view_as(out.opacity)[opaque] / out.opacity[opaque]
        angle = self._low + self._range * share - out.depth[opaque].log()
        return angle.mean()[None].to('cpu')

    def _is_free(self, out: Rendering, opaque: Tensor) -> bool:
        depths = out.depth[opaque]
        nearest = float(depths.quantile(0.05))
        return nearest > max(self._nearest, _NEAREST_SHARE * float(depths.median()))
