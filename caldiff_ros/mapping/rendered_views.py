# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Views rendered around the training cameras, to train the diffusion model on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.geometry.screw import screw_exp, screw_log
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.rendering import RenderingJob, render_job
from caldiff_ros.nerf.field import RadianceField, Rendering

#: How far a turn by one radian counts, in normalized units, in telling cameras apart.
RADIAN = 0.5
_RENDERED_AT_ONCE = 4
_CHECKPOINT_INTERVAL = 500
#: The distance to what a camera shows is measured in an image smaller by this factor.
_DISTANCE_DOWNSCALE = 4
#: How much the mean upward axis counts beside the horizontal ones in telling the vertical.
_UP_WEIGHT = 1e-3


@dataclass(frozen=True)
class RenderedViewsConfig:
    """Views rendered from the field around the training cameras, to train the diffusion on."""

    count: int = 3000
    """Number of rendered views; 0 trains on the real images only, as in the paper."""
    neighbors: int = 5
    """A view is reached from a training camera by the motions to two of this many nearest ones."""
    reach: float = 1.0
    """Each motion is followed so far at most, forwards or backwards; 1 is all the way. Backwards
    leads beyond the region of the training cameras."""
    position_jitter: float = 0.02
    """Standard deviation of the position's random shift, in normalized units."""
    rotation_jitter_deg: float = 4.0
    """Standard deviation of the random turn about each axis of the camera."""
    orbit_share: float = 0.5
    """Share of the views whose camera is then led by any angle around what it shows: a robot may
    look at it from where no training camera was."""
    min_opacity: float = 0.05
    """Views in which the scene covers less are dropped."""
    min_distance: float = 0.5
    """Views nearer to what they show than this share of the nearest training camera's distance are
    dropped: most of them lie in walls."""


def poses_around(
    cameras: Pose,
    n: int,
    config: RenderedViewsConfig,
    generator: torch.Generator,
    distances: Tensor | None = None,
) -> Pose:
    """Poses (n,) between, around and a little beyond cameras (V,).

    The motion from a camera to its neighbour is a screw: followed further, or backwards, it keeps
    looking at what both of them look at.

    Args:
        cameras: the training cameras.
        n: how many poses.
        config: how far from the cameras.
        generator: draws them.
        distances: from each camera to what it shows, (V,); without, no camera is led around it.
    """
    angle = torch.deg2rad(cameras[:, None].rotation_error_deg(cameras[None]))
    distance = torch.cdist(cameras.t, cameras.t) + RADIAN * angle
    k = min(config.neighbors + 1, len(cameras))
    nearest = distance.topk(k, largest=False).indices
    first = torch.randint(len(cameras), (n,), generator=generator)
    second = nearest[first[:, None], torch.randint(k, (n, 2), generator=generator)]
    start = cameras[first]
    twists = [screw_log(start.inverse() @ cameras[second[:, i]]) for i in range(2)]
    share = config.reach * (2 * torch.rand(2, n, 1, generator=generator) - 1)
    poses = start @ screw_exp(share[0] * twists[0] + share[1] * twists[1])
    noise = torch.randn(n, 6, generator=generator)
    turn = torch.deg2rad(torch.tensor(config.rotation_jitter_deg)) * noise[:, 3:]
    poses = poses.retract(torch.cat([config.position_jitter * noise[:, :3], turn], dim=-1))
    if distances is None:
        return poses

    led = torch.rand(n, generator=generator) < config.orbit_share
    angle = torch.pi * (2 * torch.rand(n, generator=generator) - 1) * led
    shown = poses.t + distances[first, None] * poses.R[..., 2]
    turn = angle[:, None] * vertical(cameras)

    # about the axis through what is shown
    return screw_exp(torch.cat([torch.linalg.cross(shown, turn), turn], dim=-1)) @ poses


def vertical(cameras: Pose) -> Tensor:
    """Unit vector (3,) that points upwards for cameras (V,) that are held about upright.

    Their x axes are horizontal; where these are all about the same, the mean of their upward axes
    decides.
    """
    x, up = cameras.R[..., 0], -cameras.R[..., 1].mean(0)
    tilt = x.mT @ x / len(x) - _UP_WEIGHT * torch.outer(up, up)
    axis = torch.linalg.eigh(tilt).eigenvectors[:, 0]

    return axis if axis @ up >= 0 else -axis


def render_views(
    field: RadianceField,
    cameras: Pose,
    camera: Camera,
    config: RenderedViewsConfig,
    context: BuildContext,
) -> tuple[Tensor, Pose]:
    """Images (V, H, W, 3) uint8 and poses (V,) around the training cameras, both on the CPU.

    Views that show next to nothing or lie in matter are left out, so V is at most
    ``config.count``.
    """
    device = cameras.t.device
    small = camera.downscaled(_DISTANCE_DOWNSCALE)
    distances = _distances(field.render(cameras, small), config)
    nearest = config.min_distance * distances.min()
    generator = context.generator()
    poses = poses_around(
        cameras.to('cpu'), config.count, config, generator=generator, distances=distances.cpu()
    )
    saved = context.checkpoint('views', field, field.background, cameras, config, camera)

    def keep(out: Rendering) -> dict[str, Tensor]:
        return {
            'images': out.rgb_uint8,
            'good': _shows_enough(out, config) & (_distance(out) >= nearest),
        }

    job = RenderingJob(
        'views',
        poses.to(device),
        camera,
        at_once=_RENDERED_AT_ONCE,
        between_saves=_CHECKPOINT_INTERVAL,
    )
    kept = render_job(field, job, keep, saved=saved, context=context)
    return kept['images'][kept['good']], poses[kept['good']]


def _shows_enough(out: Rendering, config: RenderedViewsConfig) -> Tensor:
    """Which of the images (B, H, W) show enough of the scene, (B,)."""
    return out.opacity.mean((1, 2)) >= config.min_opacity


def _distances(out: Rendering, config: RenderedViewsConfig) -> Tensor:
    """`_distance` of training cameras; one that shows too little has the median of the others."""
    distances = _distance(out)
    shown = _shows_enough(out, config)
    return distances.where(shown, distances[shown].median()) if shown.any() else distances


def _distance(out: Rendering) -> Tensor:
    """Harmonic mean of the depths that images (B, H, W) show, (B,).

    What is near counts, as it moves in the images, and not a horizon far outside of the place.
    """
    nearness = (out.opacity / out.depth.clamp_min(1e-6)).sum((1, 2))
    return out.opacity.sum((1, 2)) / nearness.clamp_min(1e-6)
