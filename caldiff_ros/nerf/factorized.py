# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Radiance field of vector-matrix factors (TensoRF, arXiv 2203.09517), made for a CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caldiff_ros.nerf.field import BACKGROUND_COLORS, RayField, Rendering
from caldiff_ros.nerf.marching import OccupancyGrid, Samples, compositing_weights

_PLANE_AXES = ((0, 1), (0, 2), (1, 2))
_LINE_AXES = (2, 1, 0)
#: Samples of a smaller weight change a colour by a quarter of a grey level at most; theirs are not
#: computed.
_MIN_WEIGHT = 1e-3


@dataclass(frozen=True, kw_only=True)
class FactorizedConfig:
    """Size of a `FactorizedField`; part of the map format.

    Attributes:
        resolution: cells along each edge of the planes and lines.
        occupancy_resolution: voxels along each edge of the grid that skips empty space, a multiple
            of 4.
        near: z-depth in normalized units in front of a camera where nothing can be.
        density_components: components of each of the three density factors.
        color_components: components of each of the three colour factors.
        hidden_width: width of the colour network's hidden layer.
        steps_per_voxel: samples per voxel of the occupancy grid along a ray.
        initial_optical_depth: of the untrained field, across the box.
    """

    resolution: int
    occupancy_resolution: int
    near: float
    density_components: int = 8
    color_components: int = 16
    hidden_width: int = 64
    steps_per_voxel: float = 1.0
    initial_optical_depth: float = 0.5


def spherical_harmonics(directions: Tensor) -> Tensor:
    """Real spherical harmonics up to degree 2 of unit vectors, (M, 3) to (M, 9), unnormalized."""
    x, y, z = directions.unbind(-1)
    terms = [torch.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1]
    return torch.stack(terms, dim=-1)


class FactorizedField(RayField, nn.Module):
    """Density and colour as sums of plane times line, see `FactorizedConfig`.

    Args:
        config: size of the field.
        aabb: box that holds the scene, (2, 3), normalized coordinates; outside is background.
        background: 'white', 'black' or 'none'.
    """

    kind = 'factorized'

    def __init__(self, config: FactorizedConfig, aabb: Tensor, background: str) -> None:
        super().__init__()
        self.config = config
        self.background = background
        aabb = aabb.float()
        voxel = float((aabb[1] - aabb[0]).prod() ** (1 / 3)) / config.occupancy_resolution
        self.occupancy = OccupancyGrid(
            aabb, config.occupancy_resolution, voxel / config.steps_per_voxel
        )
        R, D, C = config.resolution, config.density_components, config.color_components
        self.density_planes = self._factor(D, R, R)
        self.density_lines = self._factor(D, R, 1)
        self.color_planes = self._factor(C, R, R)
        self.color_lines = self._factor(C, R, 1)

        # softplus of the bias is the optical depth of a step before anything is learned
        n_steps = config.occupancy_resolution * config.steps_per_voxel
        self._initial_step = config.initial_optical_depth / n_steps
        self._bias = math.log(math.expm1(self._initial_step))
        self.color_net = nn.Sequential(
            nn.Linear(3 * C + 9, config.hidden_width), nn.ReLU(), nn.Linear(config.hidden_width, 3)
        )

    @staticmethod
    def _factor(components: int, height: int, width: int) -> nn.Parameter:
        # channels_last: all components of a cell lie together, so one look-up is one cache line
        factor = 0.1 * torch.randn(3, components, height, width)
        return nn.Parameter(factor.contiguous(memory_format=torch.channels_last))

    @torch.no_grad()
    def resample(self, resolution: int) -> None:
        """Interpolate the factors to this many cells; they are new parameters after that."""
        for name in ('density_planes', 'density_lines', 'color_planes', 'color_lines'):
            factor = getattr(self, name)
            width = 1 if factor.shape[3] == 1 else resolution
            finer = F.interpolate(factor, (resolution, width), mode='bilinear', align_corners=True)
            finer = finer.contiguous(memory_format=torch.channels_last)
            setattr(self, name, nn.Parameter(finer, factor.requires_grad))

    @property
    def aabb(self) -> Tensor:
        """Corners of the box, (2, 3), normalized coordinates."""
        return self.occupancy.aabb

    def _features(self, planes: Tensor, lines: Tensor, x: Tensor) -> Tensor:
        """Plane times line at box coordinates x (M, 3) in -1..1; returns (3, components, M)."""
        plane_x = torch.stack([x[:, axes] for axes in _PLANE_AXES])[:, None]
        line_x = torch.stack([x[:, axis] for axis in _LINE_AXES])[:, None]
        line_x = torch.stack([torch.zeros_like(line_x), line_x], dim=-1)
        on_plane = F.grid_sample(planes, plane_x, align_corners=True)[:, :, 0]
        on_line = F.grid_sample(lines, line_x, align_corners=True)[:, :, 0]

        return on_plane * on_line

    def _to_box(self, points: Tensor) -> Tensor:
        return (points - self.aabb[0]) * (2 / (self.aabb[1] - self.aabb[0])) - 1

    def density(self, points: Tensor) -> Tensor:
        """Density per normalized unit of length at points (M, 3) in the box, (M,)."""
        features = self._features(self.density_planes, self.density_lines, self._to_box(points))
        # divided by the step so that the same factors mean the same opacity in any scene
        return F.softplus(features.sum((0, 1)) + self._bias) / self.occupancy.step

    def color(self, points: Tensor, directions: Tensor) -> Tensor:
        """Colours (M, 3) in 0..1 at points (M, 3) seen along unit directions (M, 3)."""
        features = self._features(self.color_planes, self.color_lines, self._to_box(points))
        features = features.flatten(0, 1).T
        return torch.sigmoid(
            self.color_net(torch.cat([features, spherical_harmonics(directions)], dim=-1))
        )

    def render_rays(self, origins: Tensor, directions: Tensor, sampling: float = 1.0) -> Rendering:
        """See `RayField.render_rays`."""
        samples, weights = self.march(origins, directions, sampling)
        return self.composite(samples, weights, origins, directions)

    def march(
        self,
        origins: Tensor,
        directions: Tensor,
        sampling: float = 1.0,
        jitter: Tensor | float = 0.5,
    ) -> tuple[Samples, Tensor]:
        """Samples on rays (N, 3) and their compositing weights, (M,)."""
        samples = self.occupancy.sample(origins, directions, self.config.near, sampling, jitter)
        points = origins[samples.ray] + samples.t[:, None] * directions[samples.ray]
        step = self.occupancy.step / sampling
        return samples, compositing_weights(samples, self.density(points) * step, len(origins))

    def composite(
        self,
        samples: Samples,
        weights: Tensor,
        origins: Tensor,
        directions: Tensor,
        background: Tensor | float | None = None,
    ) -> Rendering:
        """What rays (N, 3) show whose `march` gave samples and weights."""
        if background is None:
            background = BACKGROUND_COLORS[self.background]

        visible = (weights.detach() > _MIN_WEIGHT).nonzero()[:, 0]
        ray, t, weights = samples.ray[visible], samples.t[visible], weights[visible]
        points = origins[ray] + t[:, None] * directions[ray]
        colors = self.color(points, F.normalize(directions, dim=-1)[ray])
        values = torch.cat([colors, t[:, None], torch.ones_like(t)[:, None]], dim=-1)
        sums = origins.new_zeros(len(origins), 5).index_add(0, ray, values * weights[:, None])
        opacity = sums[:, 4]
        rgb = sums[:, :3] + (1 - opacity)[:, None] * background

        return Rendering(rgb, sums[:, 3] / opacity.clamp_min(1e-6), opacity)

    @property
    def initial_opacity(self) -> float:
        """Opacity of a step through the untrained field."""
        return -math.expm1(-self._initial_step)

    @torch.no_grad()
    def update_occupancy(self, min_opacity: float) -> None:
        """Keep voxels where a step, there or next to it, is more opaque than ``min_opacity``."""
        centers = self.occupancy.voxel_centers()
        density = torch.cat([self.density(part) for part in centers.split(1 << 18)])
        n = self.occupancy.resolution
        opacity = -torch.expm1(-density * self.occupancy.step).view(1, 1, n, n, n)
        kept = F.max_pool3d(opacity, 3, stride=1, padding=1)[0, 0] > min_opacity
        self.occupancy.set_occupied(kept & self.occupancy.occupied)

    def regularization(self) -> Tensor:
        """Total variation of the factors: neighbouring cells that no ray tells apart agree."""
        planes = _variation(self.density_planes) + 0.1 * _variation(self.color_planes)
        lines = _variation(self.density_lines) + 0.1 * _variation(self.color_lines)
        return 0.01 * (planes + lines)


def _variation(factor: Tensor) -> Tensor:
    """Mean squared difference of neighbouring cells of (3, components, height, width)."""
    down = (factor.diff(dim=2) ** 2).mean()
    return down + (factor.diff(dim=3) ** 2).mean() if factor.shape[3] > 1 else down
