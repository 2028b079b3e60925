# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ray marching that only visits occupied space, and compositing of the samples it finds.

The samples of all rays lie in one flat list, ordered by ray and by distance. There is no padding,
so the cost follows what a ray hits and not how long it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Fine samples per coarse segment; the coarse grid has cells of as many voxels.
_COARSE = 4


@dataclass(frozen=True)
class Samples:
    """M samples on N rays.

    Attributes:
        ray: index of the ray of each sample, (M,) int64, ascending.
        t: ray parameter of each sample, (M,), ascending along a ray.
    """

    ray: Tensor
    t: Tensor


class OccupancyGrid(nn.Module):
    """Which voxels of a box may hold matter.

    Args:
        aabb: corners of the box, (2, 3), normalized coordinates.
        resolution: voxels along each axis, a multiple of 4.
        step: distance between samples, in normalized units.
    """

    aabb: Tensor
    occupied: Tensor

    def __init__(self, aabb: Tensor, resolution: int, step: float) -> None:
        super().__init__()
        self.resolution = resolution
        self.step = step
        self.register_buffer('aabb', aabb.clone())
        self.register_buffer('occupied', torch.ones(resolution, resolution, resolution).bool())
        self._refresh_coarse()

    def _refresh_coarse(self) -> None:
        """A coarse cell is occupied if a voxel in it, or half a cell around it, is."""
        coarse = F.max_pool3d(
            self.occupied[None, None].float(), 2 * _COARSE, stride=_COARSE, padding=_COARSE // 2
        )
        self.coarse = coarse[0, 0] > 0

    def set_occupied(self, occupied: Tensor) -> None:
        """Replace the voxels, bool (resolution, resolution, resolution), indexed [x, y, z]."""
        self.occupied = occupied.to(self.aabb.device)
        self._refresh_coarse()

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._refresh_coarse()

    def voxel_centers(self) -> Tensor:
        """Normalized coordinates of the voxel centres, (resolution^3, 3), indexed [x, y, z]."""
        steps = (torch.arange(self.resolution, device=self.aabb.device) + 0.5) / self.resolution
        grid = torch.stack(torch.meshgrid(steps, steps, steps, indexing='ij'), dim=-1)
        return self.aabb[0] + grid.view(-1, 3) * (self.aabb[1] - self.aabb[0])

    def _lookup(self, grid: Tensor, origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
        """Occupancy at ``origins + t * directions``; (N, 3), (N, 3) and (N, K) give (N, K)."""
        n = grid.shape[0]
        scale = n / (self.aabb[1] - self.aabb[0])
        start = (origins - self.aabb[0]) * scale
        slope = directions * scale
        cells = [
            torch.addcmul(start[:, i : i + 1], t, slope[:, i : i + 1]).long().clamp_(0, n - 1)
            for i in range(3)
        ]

        return grid.view(-1)[(cells[0] * n + cells[1]).mul_(n).add_(cells[2])]

    @torch.no_grad()
    def sample(
        self,
        origins: Tensor,
        directions: Tensor,
        near: float,
        sampling: float = 1.0,
        jitter: Tensor | float = 0.5,
    ) -> Samples:
        """Place samples where rays (N, 3) pass occupied voxels beyond ``near``.

        ``sampling`` of them every ``step``, see `RadianceField.render`.
        ``jitter`` in 0..1, a number or (N,), shifts the samples of a ray within their distance.
        """
        to_low = (self.aabb[0] - origins) / directions
        to_high = (self.aabb[1] - origins) / directions
        t_in = torch.minimum(to_low, to_high).amax(-1).clamp_min(near)
        t_out = torch.maximum(to_low, to_high).amin(-1)
        dt = self.step / sampling / directions.norm(dim=-1)
        n_segments = ((t_out - t_in) / (dt * _COARSE)).ceil().clamp_min(0)
        hit = n_segments.nonzero()[:, 0]
        if len(hit) == 0:
            return Samples(hit, t_in[hit])

        rays = (origins, directions, t_in, t_out, dt, n_segments)
        o, d, t_in, t_out, dt, n_segments = (x[hit] for x in rays)
        k = torch.arange(int(n_segments.max()), device=o.device, dtype=o.dtype)
        t_center = torch.addcmul(t_in[:, None], k + 0.5, dt[:, None] * _COARSE)
        occupied = self._lookup(self.coarse, o, d, t_center) & (k < n_segments[:, None])
        ray, segment = occupied.nonzero(as_tuple=True)

        shift = jitter[hit][ray] if isinstance(jitter, Tensor) else jitter
        first = t_in[ray] + (segment * _COARSE + shift) * dt[ray]
        fine = torch.arange(_COARSE, device=o.device, dtype=o.dtype)
        t = torch.addcmul(first[:, None], fine, dt[ray][:, None])
        occupied = self._lookup(self.occupied, o[ray], d[ray], t) & (t < t_out[ray][:, None])
        segment, fine = occupied.nonzero(as_tuple=True)

        return Samples(hit[ray[segment]], t[segment, fine])


def compositing_weights(samples: Samples, optical_depth: Tensor, n_rays: int) -> Tensor:
    """Weight of each sample, (M,): its opacity times the transmittance in front of it.

    ``optical_depth`` (M,) is density times step. The sums run in float64 because one running sum
    serves all rays.
    """
    in_front = _sum_in_front(optical_depth, samples, n_rays)
    return torch.exp(-in_front) * -torch.expm1(-optical_depth)


def distortion(samples: Samples, weights: Tensor, step: float, n_rays: int) -> Tensor:
    """How far apart along a ray the matter lies that it shows, mean over the rays.

    The distortion loss of mip-NeRF 360 (arXiv 2111.12077, equation 15), in units of the ray
    parameter: mean distance of all pairs of samples, each as probable as its weight (M,) says, and
    of the points within a sample of the length ``step``. It gathers matter at surfaces.
    """
    t, W = samples.t, _sum_in_front(weights, samples, n_rays)
    between = 2 * weights * (t * W - _sum_in_front(weights * t, samples, n_rays))
    return (between + weights**2 * step / 3).sum() / n_rays


def _sum_in_front(values: Tensor, samples: Samples, n_rays: int) -> Tensor:
    """Of each sample, the sum of ``values`` (M,) in front of it on its ray, (M,)."""
    if len(values) == 0:
        return values

    total = values.double().cumsum(0)
    in_front = total - values
    count = torch.bincount(samples.ray, minlength=n_rays)
    first = (count.cumsum(0) - count).clamp_max(len(total) - 1)

    return (in_front - in_front[first][samples.ray]).to(values.dtype)
