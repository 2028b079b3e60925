# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where poses come from: uniform particles, and views around the training cameras."""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf.field import RadianceField, render_images
from caldiff_ros.training import Report, no_report

#: How far a turn by one radian counts, in normalized units, when neighbours are sought.
_RADIAN = 0.5
_RENDERED_AT_ONCE = 16


def uniform_particles(n: int, generator: torch.Generator) -> Tensor:
    """Pose vectors (n, 7), uniform in the cube and over rotations (section 3.3, equation 1)."""
    position = torch.rand(n, 3, generator=generator) - 0.5
    u, v, w = torch.rand(3, n, generator=generator)
    v, w = 2 * torch.pi * v, 2 * torch.pi * w
    a, b = (1 - u).sqrt(), u.sqrt()
    quaternion = torch.stack([a * v.sin(), a * v.cos(), b * w.sin(), b * w.cos()], dim=-1)
    return torch.cat([position, quaternion], dim=-1)


@dataclass(frozen=True)
class RenderedViewsConfig:
    """Views rendered from the field around the training cameras, to train the diffusion on."""

    count: int = 2000
    """How many; 0 trains on the real images only, as the paper does."""
    neighbors: int = 5
    """A view lies between a training camera and up to two of so many nearest ones."""
    position_jitter: float = 0.03
    """Standard deviation of the position's random shift, in normalized units."""
    rotation_jitter_deg: float = 6.0
    """Standard deviation of the random turn about each axis of the camera."""
    min_opacity: float = 0.05
    """Views that show less of the scene are dropped."""


def poses_around(
    cameras: Pose, n: int, config: RenderedViewsConfig, generator: torch.Generator
) -> Pose:
    """Poses (n,) between neighbouring cameras (V,), shifted and turned a little."""
    angle = torch.deg2rad(cameras[:, None].rotation_error_deg(cameras[None]))
    distance = torch.cdist(cameras.t, cameras.t) + _RADIAN * angle
    k = min(config.neighbors + 1, len(cameras))
    nearest = distance.topk(k, largest=False).indices
    first = torch.randint(len(cameras), (n,), generator=generator)
    others = nearest[first[:, None], torch.randint(k, (n, 2), generator=generator)]
    corners = torch.cat([first[:, None], others], dim=1)
    weights = torch.rand(n, 3, generator=generator).clamp_min(1e-3).log().neg()
    weights = weights / weights.sum(1, keepdim=True)
    R = roma.special_procrustes((weights[..., None, None] * cameras.R[corners]).sum(1))
    t = (weights[..., None] * cameras.t[corners]).sum(1)
    noise = torch.randn(n, 6, generator=generator)
    turn = torch.deg2rad(torch.tensor(config.rotation_jitter_deg)) * noise[:, 3:]
    return Pose(R, t).retract(torch.cat([config.position_jitter * noise[:, :3], turn], dim=-1))


def render_views(
    field: RadianceField,
    cameras: Pose,
    camera: Camera,
    config: RenderedViewsConfig,
    seed: int,
    report: Report = no_report,
) -> tuple[Tensor, Pose]:
    """Images (V, H, W, 3) uint8 and poses (V,) around the training cameras, both on the CPU.

    Views that show next to nothing are left out, so V is at most ``config.count``.
    """
    generator = torch.Generator().manual_seed(seed)
    poses = poses_around(cameras.to('cpu'), config.count, config, generator)
    images, shown = [], []
    for start in range(0, config.count, _RENDERED_AT_ONCE):
        out = render_images(
            field, poses[start : start + _RENDERED_AT_ONCE].to(cameras.t.device), camera
        )
        images.append((out.rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu())
        shown.append((out.opacity.mean((1, 2)) >= config.min_opacity).cpu())
        report('views', min(start + _RENDERED_AT_ONCE, config.count), config.count, {})
    keep = torch.cat(shown)
    return torch.cat(images)[keep], poses[keep]
