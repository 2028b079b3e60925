# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Growth and pruning of Gaussians while they are trained (section 5 of arXiv 2308.04079)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from caldiff_ros.geometry import Pose
from caldiff_ros.geometry.pose import rotation_matrix
from caldiff_ros.nerf.gaussians import GaussianField

#: A Gaussian that is split becomes two, smaller by this factor.
_SPLIT_FACTOR = 1.6


@dataclass(frozen=True, kw_only=True)
class GrowthConfig:
    """When Gaussians are added and removed."""

    interval: int = 100
    """Steps between two rounds of growth."""
    start: int = 200
    """Step at which growth starts."""
    end_share: float = 0.6
    """Fraction of the training after which growth ends."""
    gradient: float = 0.00025
    """Gaussians whose place in the images has a larger mean gradient, in half widths of the image,
    explain too much: they are doubled or split."""
    size: float = 0.01
    """Larger ones are split, smaller ones doubled: their largest standard deviation over the
    distance of the nearest camera."""
    min_opacity: float = 0.005
    """Gaussians that are less opaque are removed."""
    max_size: float = 0.5
    """Gaussians whose largest standard deviation is more than this share of the distance of the
    nearest camera, from the start of the growth on, are removed."""
    min_visible: float = 0.15
    """Gaussians of which no training view sees a larger share are removed, for images with alpha:
    the inside of an object's hull is hidden from the cameras, but not from below or beside them."""


def nearest_distances(points: Tensor, cameras: Pose) -> Tensor:
    """From points (N, 3) to the nearest of cameras (V,), (N,)."""
    nearest, _ = cKDTree(cameras.t.double().cpu().numpy()).query(points.double().cpu().numpy())
    return torch.from_numpy(nearest).to(points)


class Growth:
    """Adds Gaussians where they are missing and removes those that show nothing.

    Args:
        config: when.
        field: the Gaussians.
        cameras: poses of the training images, (V,).
        budget: how many Gaussians there may be at most.
        generator: draws the places of split ones.

    Attributes:
        gradient: sums of the gradients that were observed since the last growth, (N,).
        seen: how many images had one, (N,).
        distances: from each Gaussian to the nearest camera at the last growth, at least the near
            plane's, (N,): what is far may be large, and moves in long steps.
    """

    def __init__(
        self,
        config: GrowthConfig,
        field: GaussianField,
        cameras: Pose,
        budget: int,
        generator: torch.Generator,
    ) -> None:
        self.config = config
        self.field = field
        self.cameras = cameras
        self.budget = budget
        self.generator = generator
        self.reset()

    def reset(self) -> None:
        """Forget what was observed; called when the Gaussians are others."""
        device = self.field.means.device
        self.gradient = torch.zeros(len(self.field.means), device=device)
        self.seen = torch.zeros(len(self.field.means), device=device)
        nearest = nearest_distances(self.field.means.detach(), self.cameras)
        self.distances = nearest.clamp_min(self.field.near)

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {'gradient': self.gradient, 'seen': self.seen, 'distances': self.distances}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`."""
        device = self.field.means.device
        self.gradient = state['gradient'].to(device)
        self.seen = state['seen'].to(device)
        self.distances = state['distances'].to(device)

    def observe(self, by_place: Tensor, width: int, height: int) -> None:
        """Count a view's gradients (N, 2) to the places in an image, in pixels."""
        norm = (by_place * by_place.new_tensor([width / 2, height / 2])).norm(dim=-1)
        self.gradient += norm
        self.seen += norm > 0

    @torch.no_grad()
    def grow(self, optimizer: torch.optim.Optimizer, visible: Tensor | None = None) -> None:
        """Double, split and remove; the optimizer follows.

        Args:
            optimizer: trains the Gaussians.
            visible: share of each that some view sees (N,), see `visibility.visible_shares`; None
                where none is removed for that.
        """
        field, config = self.field, self.config
        mean = self.gradient / self.seen.clamp_min(1)
        largest = field.log_scales.amax(1).exp() / self.distances
        kept = (field.logits.sigmoid() > config.min_opacity) & (largest < config.max_size)
        if visible is not None:
            kept &= visible > config.min_visible

        # 1. Those that explain too much, the worst first, within the budget
        wanted = ((mean > config.gradient) & kept).nonzero()[:, 0]
        room = max(0, self.budget - int(kept.sum()))
        wanted = wanted[mean[wanted].argsort(descending=True, stable=True)[:room]]
        split = wanted[largest[wanted] > config.size]
        doubled = wanted[largest[wanted] <= config.size]

        # 2. A small one is doubled; of a large one two remain, drawn from where it was
        added = {
            name: torch.cat([value[doubled], value[split], value[split]])
            for name, value in field.named_parameters()
        }
        n_split = len(split)
        if n_split:
            noise = torch.randn(
                2 * n_split, 3, generator=self.generator, device=self.generator.device
            ).to(field.means)
            last = slice(len(doubled), None)
            R = rotation_matrix(added['quaternions'][last])
            offset = noise * added['log_scales'][last].exp()
            added['means'][last] += (R @ offset[..., None])[..., 0]
            added['log_scales'][last] -= math.log(_SPLIT_FACTOR)
            kept[split] = False

        # 3. The optimizer remembers those that remain
        for name, value in list(field.named_parameters()):
            replaced = nn.Parameter(torch.cat([value[kept], added[name]]))
            _replace(optimizer, value, replaced, kept)
            setattr(field, name, replaced)

        self.reset()


def _replace(
    optimizer: torch.optim.Optimizer, before: nn.Parameter, now: nn.Parameter, kept: Tensor
) -> None:
    """Let an optimizer train ``now``, whose first values are those ``kept`` of ``before``."""
    state = optimizer.state.pop(before, {})
    n_added = len(now) - int(kept.sum())
    for name in ('exp_avg', 'exp_avg_sq'):
        if name in state:
            added = state[name].new_zeros(n_added, *now.shape[1:])
            state[name] = torch.cat([state[name][kept], added])

    if state:
        optimizer.state[now] = state
    for group in optimizer.param_groups:
        group['params'] = [now if each is before else each for each in group['params']]
