# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A scene whose every ray has a known answer: coloured Gaussian blobs, integrated densely."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.field import RayField, Rendering

CAMERA = Camera(48, 40, 60.0, 60.0, 24.0, 20.0)


class Blobs(RayField):
    """A radiance field; nothing in it is learned."""

    kind = 'blobs'
    background = 'white'
    aabb = torch.tensor([[-0.25] * 3, [0.25] * 3])

    def __init__(self, n: int = 24, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.centers = torch.from_numpy(rng.uniform(-0.15, 0.15, (n, 3))).float()
        self.colors = torch.from_numpy(rng.uniform(0, 1, (n, 3))).float()
        self.radii = torch.from_numpy(rng.uniform(0.02, 0.05, n)).float()

    def state_dict(self) -> dict[str, Tensor]:
        return {'centers': self.centers, 'colors': self.colors, 'radii': self.radii}

    def rays_at_once(self, device: torch.device) -> int:
        """So few that what is computed of them stays in the caches."""
        return 256

    def render_rays(self, origins: Tensor, directions: Tensor) -> Rendering:
        t = torch.linspace(0.2, 0.8, 97, device=origins.device)
        # a point of the ray is |a|^2 + 2 t a.d + t^2 |d|^2 from a centre, squared
        away = origins[:, None] - self.centers
        squares = torch.stack(
            [
                (away**2).sum(-1),
                2 * (away * directions[:, None]).sum(-1),
                (directions**2).sum(-1, keepdim=True).expand(-1, len(self.centers)),
            ],
            dim=-2,
        )
        powers = torch.stack([torch.ones_like(t), t, t**2], dim=-1)
        density = 150 * torch.exp(powers @ (squares / (-2 * self.radii**2)))
        total = density.sum(-1)
        color = (density @ self.colors) / total.clamp_min(1e-9)[..., None]
        tau = total * (t[1] - t[0]) * directions.norm(dim=-1, keepdim=True)
        weights = torch.exp(tau - tau.cumsum(-1)) * (1 - torch.exp(-tau))
        opacity = weights.sum(-1)
        rgb = (weights[..., None] * color).sum(-2) + (1 - opacity)[:, None]
        return Rendering(rgb, (weights * t).sum(-1) / opacity.clamp_min(1e-6), opacity)


def look_at(center: Tensor) -> Pose:
    """Cameras (V,) at ``center`` (V, 3) that look at the origin, y down."""
    z = torch.nn.functional.normalize(-center, dim=-1)
    x = torch.linalg.cross(z, torch.tensor([0.0, 0.0, 1.0]).expand_as(z))
    x = torch.nn.functional.normalize(x, dim=-1)
    return Pose(torch.stack([x, torch.linalg.cross(z, x), z], dim=-1), center)


def ring(n: int, radius: float = 0.5, phase: float = 0.0) -> Pose:
    """Cameras (n,) around the origin, at changing heights."""
    angle = torch.arange(n) * (2 * torch.pi / n) + phase
    height = 0.15 * torch.sin(3 * angle) + 0.1
    return look_at(torch.stack([radius * angle.cos(), radius * angle.sin(), height], dim=-1))


def photographed(field: Blobs, poses: Pose, camera: Camera = CAMERA) -> Views:
    """What cameras see of the blobs, with alpha."""

    out = field.render(poses, camera)
    rgb = out.rgb - (1 - out.opacity)[..., None]
    seen = torch.ones_like(out.opacity, dtype=torch.bool)
    return Views(camera, poses, rgb, out.opacity, seen, None)
