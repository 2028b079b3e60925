# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which way is up: from how photographs were held, or from what a splat shows.

A place is lower than it is wide, what is in it stands upright, and more of the floor is seen than
of the ceiling.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf.field import pixel_directions
from caldiff_ros.nerf.gaussians import GaussianField

logger = logging.getLogger(__name__)

#: Length of the mean of the cameras' up directions from which on they agree.
_LEAST_AGREEMENT = 0.8
#: Surfaces within this angle face the same way.
_SAME_DEG = 10.0
_SAME = math.cos(math.radians(_SAME_DEG))
#: How many times as wide as high a place is; no other axis can be as short then.
_LEAST_WIDTH = 1.5
#: How many times as much faces upwards as downwards, as the ceiling does: which of two that are
#: alike is seen more is chance. And how much, as a share of what faces the most usual way.
_LEAST_LEAD, _LEAST_SHARE = 2.0, 0.4
#: Share of what stands upright, and of what faces upwards as a multiple: of random directions.
_RANDOM_UPRIGHT = math.sin(math.radians(_SAME_DEG))
_RANDOM_SHARE = (1 - math.cos(math.radians(_SAME_DEG))) / 2
_LEAST_OF_RANDOM = 3.0
#: Directions that are tried, surfaces that vote, and fewer than which tell nothing.
_TRIED, _VOTES, _FEWEST = 500, 6000, 500
#: Normals are those of differences over this many pixels to both sides; depths that differ by more
#: than this share are of two surfaces.
_STEP_PX, _MOST_SLOPE = 2, 0.3
_OPAQUE = 0.8


@dataclass(frozen=True)
class Upward:
    """An upward direction.

    Attributes:
        direction: unit vector (3,).
        why: how sure it is, as a clause.
    """

    direction: Tensor
    why: str

    def __str__(self) -> str:
        """As ``--up`` takes it."""
        return ','.join(f'{number:.3f}' for number in self.direction.tolist())


def up_of_cameras(poses: Pose) -> Upward | None:
    """The mean of the cameras' up directions; None if they do not agree.

    Args:
        poses: of optical cameras (V,).
    """
    ups = -poses.R[..., 1].to('cpu', torch.float64)
    mean = ups.mean(0)
    if mean.norm() < _LEAST_AGREEMENT:
        return None

    direction = mean / mean.norm()
    median_deg = float(torch.rad2deg((ups @ direction).clamp(-1, 1).acos()).median())
    return Upward(direction, f'half of the cameras are held within {median_deg:.0f} deg of it')


def say_up(found: Upward | None) -> None:
    """Which way is taken for up where nobody says so; the frame of a map stays as it is."""
    if found is None:
        logger.warning(
            'the up direction is not certain, cameras may have any orientation; give --up'
        )
    else:
        logger.info(
            'up is about %s: %s; give --up=%s to turn the map so that z is up',
            found,
            found.why,
            found,
        )


def up_of_surfaces(points: Tensor, normals: Tensor, generator: torch.Generator) -> Upward | None:
    """The way that most surfaces face, if it is that of a floor for certain.

    Args:
        points: on what is seen, (N, 3).
        normals: unit vectors (N, 3) towards the cameras that see it.
        generator: draws the ones that vote.
    """
    if len(points) < _FEWEST:
        return None

    some = torch.randperm(len(points), generator=generator)[:_VOTES]
    points, normals = points[some], normals[some]
    tried = normals[:_TRIED]
    shares = _shares(normals, tried)
    usual = shares > max(_LEAST_SHARE * float(shares.max()), _LEAST_OF_RANDOM * _RANDOM_SHARE)
    for i in shares.argsort(descending=True)[: int(usual.sum())]:
        facing = normals[normals @ tried[i] > _SAME]
        up = torch.nn.functional.normalize(facing.mean(0), dim=0)
        width = _width(points, up) / max(_extent(points @ up[:, None]), 1e-9)
        if width >= _LEAST_WIDTH:
            return _if_it_is_a_floor(normals, up, width)

    return None


def _if_it_is_a_floor(normals: Tensor, up: Tensor, width: float) -> Upward | None:
    """See `up_of_surfaces`, of the direction along which a place is shortest."""
    share, below = _shares(normals, torch.stack([up, -up])).tolist()
    upright = float(((normals @ up).abs() < _RANDOM_UPRIGHT).float().mean())
    if share < _LEAST_LEAD * below or upright < _RANDOM_UPRIGHT:
        return None

    return Upward(
        up.double(),
        f'{share:.0%} of what is seen faces that way and {below:.0%} the other way, and the place '
        f'is {width:.1f} times as wide as it is high',
    )


def _shares(normals: Tensor, directions: Tensor) -> Tensor:
    """The shares (D,) of normals (N, 3) that are within the angle of directions (D, 3)."""
    return (directions @ normals.T > _SAME).float().mean(1)


def seen_surfaces(field: GaussianField, poses: Pose, camera: Camera) -> tuple[Tensor, Tensor]:
    """Points and normals, see `up_of_surfaces`, of what a field shows from poses (V,)."""
    parts = [_surface(field, poses[i], camera) for i in range(len(poses))]
    return torch.cat([points for points, _ in parts]), torch.cat([normals for _, normals in parts])


def _surface(field: GaussianField, pose: Pose, camera: Camera) -> tuple[Tensor, Tensor]:
    """See `seen_surfaces`, of one pose (), on the CPU."""
    out = field.render(pose[None].to(field.aabb.device), camera)[0]
    depth, opaque = out.depth.to('cpu'), out.opacity.to('cpu') > _OPAQUE
    seen = pixel_directions(camera).view(camera.height, camera.width, 3) * depth[..., None]
    k = _STEP_PX
    right = seen[k:-k, 2 * k :] - seen[k:-k, : -2 * k]
    down = seen[2 * k :, k:-k] - seen[: -2 * k, k:-k]
    seen, depth, opaque = (values[k:-k, k:-k] for values in (seen, depth, opaque))

    # x is right, y down and z forward: down times right points back at the camera
    normals = torch.nn.functional.normalize(torch.linalg.cross(down, right), dim=-1)
    is_one = opaque & (right.norm(dim=-1) < _MOST_SLOPE * depth)
    is_one &= down.norm(dim=-1) < _MOST_SLOPE * depth
    R = pose.R.to('cpu')
    return seen[is_one] @ R.T + pose.t.to('cpu'), normals[is_one] @ R.T


def _width(points: Tensor, up: Tensor) -> float:
    """The lesser extent of points (N, 3) across a direction."""
    horizontal = points - (points @ up)[:, None] * up
    axes = torch.linalg.svd(horizontal - horizontal.mean(0), full_matrices=False)[2][:2]
    return _extent(horizontal @ axes.T)


def _extent(coordinates: Tensor) -> float:
    """The least extent of points (N, K) along the axes, without outliers."""
    low, high = torch.quantile(coordinates, torch.tensor([0.02, 0.98]), dim=0)
    return float((high - low).min())
