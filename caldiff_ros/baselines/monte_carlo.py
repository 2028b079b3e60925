# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Monte Carlo localization + iNeRF (references 32 and 24 of the paper): a particle filter.

F. Dellaert et al.: Monte Carlo localization for mobile robots, ICRA 1999, in place of the
diffusion (section 4.2); weights and annealing as in D. Maggio et al.: Loc-NeRF, ICRA 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.baselines.proposals import ProposalLocalizer
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.diffusion.vectors import poses_of
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.particles import uniform_particles
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run


@dataclass(frozen=True)
class MonteCarloConfig:
    """A particle filter with the budget of preset 'paper' before the selection.

    There the integrated iNeRF renders 100 particles x 50 steps x 64 pixels, forward and backward.
    A backward pass through a ray is counted as one more rendering of it, which favours the filter:
    on a CPU it takes 0.6 to 1 times as long. So the filter, which needs no gradients,
    renders 100 x 50 x 128 = 640,000 rays, and exactly that many.
    """

    particles: int = 100
    """Number of particles."""
    iterations: int = 50
    """Number of weighting and resampling steps."""
    pixels: int = 128
    """Pixels of the keypoint region that determine the weight of a particle, redrawn each time."""
    keypoints: int = 100
    """SIFT keypoints that mark the region, as in preset 'paper'."""
    radius_px: int = 5
    """Pixels so near to a keypoint belong to the region."""
    sharpness: float = 4.0
    """A weight is the inverse photometric error to this power, as in Loc-NeRF."""
    position_noise: tuple[float, float] = (0.1, 0.005)
    """Standard deviation of a particle's random shift along each axis after the first and after
    the last resampling, normalized units; it falls geometrically in between."""
    rotation_noise_deg: tuple[float, float] = (15.0, 1.0)
    """The same of the random turn about each axis of the camera, in degrees."""


def systematic_resampling(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Indices (P,) of the particles that live on, in order, given weights (P,) of any sum > 0.

    One random number places a comb of P equally spaced teeth on the cumulated weights: a particle
    of normalized weight w lives on floor(P w) or ceil(P w) times.
    """
    n = len(weights)
    cumulated = weights.double().cumsum(0)
    comb = (torch.arange(n) + torch.rand(1, generator=generator).double()).to(weights.device) / n

    # the sum of the weights is rounded, so the last tooth might fall beyond it
    return torch.searchsorted(cumulated, comb * cumulated[-1], right=True).clamp_max(n - 1)


@dataclass(frozen=True)
class MonteCarlo:
    """Proposes the last generation of a particle filter."""

    config: MonteCarloConfig = MonteCarloConfig()

    @torch.no_grad()
    def __call__(self, query: Query, run: Run) -> Pose:
        """See `Proposer`."""
        config = self.config
        generator = run.generator
        poses = poses_of(uniform_particles(config.particles, generator).to(query.device))
        region = query.keypoint_region(config.keypoints, config.radius_px)

        for i in range(config.iterations):
            pick = torch.randint(len(region), (config.pixels,), generator=generator)
            errors = query.mean_squared_difference(run.field, poses, region[pick.to(region.device)])
            # relative to the least error, so that no power overflows
            weights = (errors.min().clamp_min(1e-12) / errors.clamp_min(1e-12)) ** config.sharpness
            survivors = poses[systematic_resampling(weights, generator)]
            poses = self.perturbed(survivors, i / max(1, config.iterations - 1), generator)

        return poses

    def perturbed(self, poses: Pose, share: float, generator: torch.Generator) -> Pose:
        """Poses moved at random; ``share`` is 0 after the first iteration and 1 after the last."""
        shift, turn_deg = (
            first * (last / first) ** share
            for first, last in (self.config.position_noise, self.config.rotation_noise_deg)
        )
        turn = torch.deg2rad(torch.tensor(turn_deg)).item()
        noise = torch.randn(len(poses), 6, generator=generator)
        scale = torch.tensor([shift] * 3 + [turn] * 3)

        return poses.retract((noise * scale).to(poses.t.device))


def make_monte_carlo(setup: Setup) -> ProposalLocalizer:
    """A particle filter instead of the diffusion, then as preset 'paper'; nothing is trained."""
    return ProposalLocalizer(
        setup.localization_map, MonteCarlo(), 'paper', device=setup.device, seed=setup.seed
    )
