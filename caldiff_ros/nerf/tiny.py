# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TinyNeRF, the field of the paper's synthetic scenes (section 4.2; Mildenhall et al. [4])."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from caldiff_ros.nerf.field import BACKGROUND_COLORS, RayField, Rendering


@dataclass(frozen=True)
class TinyNerfConfig:
    """Size of a `TinyNerf`; the defaults are those of the published TinyNeRF."""

    depth: int = 8
    """Hidden layers."""
    width: int = 256
    """Width of the hidden layers."""
    skip: int = 4
    """The input joins again after every this many layers."""
    frequencies: int = 6
    """Octaves of the positional encoding."""
    samples: int = 64
    """Samples per ray."""
    near: float = 0.25
    """Nearest sample: 2 scene units of NeRF-synthetic, whose cameras span 8, as z-depth."""
    far: float = 0.75
    """Farthest sample: 6 scene units of NeRF-synthetic."""
    unit: float = 8.0
    """Normalized coordinates are multiplied by this: the octaves of the encoding start at 1."""


class TinyNerf(RayField, nn.Module):
    """Density and colour of a point from one network, without viewing direction.

    Args:
        config: size of the network.
        aabb: box that holds the scene, (2, 3), normalized coordinates; density is zero outside.
        background: 'white', 'black' or 'none'.
    """

    kind = 'tiny'
    aabb: Tensor

    def __init__(self, config: TinyNerfConfig, aabb: Tensor, background: str) -> None:
        super().__init__()
        self.config = config
        self.background = background
        self.register_buffer('aabb', aabb.float().clone())
        n_in = 3 + 3 * 2 * config.frequencies
        layers = []
        width = n_in

        for i in range(config.depth):
            layers.append(nn.Linear(width, config.width))
            joins = i > 0 and i % config.skip == 0
            width = config.width + (n_in if joins else 0)

        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(width, 4)

    def _encode(self, points: Tensor) -> Tensor:
        x = points * self.config.unit
        octaves = 2.0 ** torch.arange(self.config.frequencies, device=x.device)
        angles = (x[..., None, :] * octaves[:, None]).flatten(-2)
        return torch.cat([x, angles.sin(), angles.cos()], dim=-1)

    def query(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Density per normalized unit (...) and colour (..., 3) at points (..., 3)."""
        encoded = self._encode(points)
        h = encoded

        for i, layer in enumerate(self.layers):
            h = torch.relu(layer(h))
            if i > 0 and i % self.config.skip == 0:
                h = torch.cat([h, encoded], dim=-1)

        out = self.head(h)
        inside = ((points > self.aabb[0]) & (points < self.aabb[1])).all(dim=-1)
        density = torch.relu(out[..., 3]) * self.config.unit * inside

        return density, torch.sigmoid(out[..., :3])

    def render_rays(
        self,
        origins: Tensor,
        directions: Tensor,
        jitter: Tensor | float = 0.5,
        background: Tensor | float | None = None,
    ) -> Rendering:
        """See `RayField.render_rays`; training passes a jitter and a background per ray."""
        if background is None:
            background = BACKGROUND_COLORS[self.background]

        c = self.config
        dt = (c.far - c.near) / c.samples
        k = torch.arange(c.samples, device=origins.device, dtype=origins.dtype)
        shift = jitter[:, None] if isinstance(jitter, Tensor) else jitter
        t = (c.near + (k + shift) * dt).expand(len(origins), -1)
        points = origins[:, None] + t[..., None] * directions[:, None]
        density, color = self.query(points)
        optical_depth = density * dt * directions.norm(dim=-1, keepdim=True)
        in_front = optical_depth.cumsum(-1) - optical_depth
        weights = torch.exp(-in_front) * -torch.expm1(-optical_depth)
        opacity = weights.sum(-1)
        rgb = (weights[..., None] * color).sum(-2) + (1 - opacity)[:, None] * background

        return Rendering(rgb, (weights * t).sum(-1) / opacity.clamp_min(1e-6), opacity)
