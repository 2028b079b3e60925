# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training the factorized field, in minutes on a CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.bounds import initial_occupancy
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.field_training import (
    MAX_PSNR_VIEWS,
    PSNR_INTERVAL,
    FieldTraining,
    FieldViews,
    RayPool,
    on_random_background,
    psnr,
)
from caldiff_ros.mapping.training_loop import PlateauRule, Trainer, TrainingSchedule, train
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.factorized import FactorizedConfig, FactorizedField
from caldiff_ros.nerf.marching import distortion

#: Rays in a window of the convergence, at least, as a share of all there are.
_WINDOW_SHARE = 1 / 6
#: Occupancy is measured after this many steps.
_OCCUPANCY_INTERVAL = 100
#: A step that is less opaque holds nothing, once the training has settled.
_MIN_OPACITY = 0.01


@dataclass(frozen=True, kw_only=True)
class FactorizedSize:
    """Size of a factorized field; what is None is chosen for the images."""

    resolution: int | None = None
    """Cells along each edge of the planes and lines; by default, what the images resolve."""
    density_components: int = 8
    """Components of each of the three density factors."""
    color_components: int = 16
    """Components of each of the three colour factors."""
    hidden_width: int = 64
    """Width of the colour network's hidden layer."""
    occupancy_resolution: int | None = None
    """Voxels along each edge of the grid that skips empty space, a multiple of 4; by default, half
    of ``resolution``."""
    steps_per_voxel: float = 1.0
    """Samples per voxel of the occupancy grid along a ray."""
    near: float | None = None
    """z-depth in normalized units in front of a camera where nothing can be; by default half of the
    smallest measured depth, and 0.05 without depth images."""
    initial_optical_depth: float = 0.5
    """Of the untrained field, across the box: much less and matter grows where it is seen from one
    side only, much more and fog hides the scene."""

    def resolved(self, views: Views, aabb: Tensor) -> FactorizedConfig:
        """The size for these images of a scene in a box (2, 3)."""
        resolution = self.resolution or _resolution_of(views, aabb)
        near = self.near

        if near is None:
            near = 0.05
            if views.depth is not None and bool((views.depth > 0).any()):
                near = 0.5 * float(views.depth[views.depth > 0].min())

        return FactorizedConfig(
            resolution=resolution,
            density_components=self.density_components,
            color_components=self.color_components,
            hidden_width=self.hidden_width,
            occupancy_resolution=self.occupancy_resolution or resolution // 2,
            steps_per_voxel=self.steps_per_voxel,
            near=near,
            initial_optical_depth=self.initial_optical_depth,
        )


def _resolution_of(views: Views, aabb: Tensor) -> int:
    """Two cells per pixel's footprint at the middle of the scene, within bounds."""
    distance = (views.T_norm_cam.t - aabb.mean(0)).norm(dim=-1).median()
    footprint = float(distance) / views.camera.fx
    cells = float((aabb[1] - aabb[0]).prod()) ** (1 / 3) / footprint
    return min(256, max(128, 32 * round(2 * cells / 32)))


@dataclass(frozen=True, kw_only=True)
class FactorizedTraining(FieldTraining):
    """How to train the factorized field, the default: minutes on a CPU."""

    kind: ClassVar[str] = 'factorized'

    field: FactorizedSize = dataclass_field(default_factory=FactorizedSize)
    iterations: int = 2000
    """Most optimizer steps: the training ends when the loss has ceased to fall, see
    ``convergence``."""
    convergence: PlateauRule = dataclass_field(default_factory=PlateauRule)
    """When the factors grow, and when the training comes to its end."""
    rays: int = 4096
    """Rays in a step, drawn from all training images."""
    learning_rate: float = 0.03
    """Adam's learning rate for the factors."""
    network_learning_rate: float = 0.003
    """Adam's learning rate for the colour network."""
    depth_weight: float = 0.1
    """Weight of the mean depth error (normalized units) where the dataset has depth images."""
    exact_depth: bool = False
    """Whether depth images are as exact as rendered ones: then their error counts until the end,
    and else while the factors grow, as many a depth camera is centimetres off."""
    distortion_weight: float = 0.1
    """Weight of the mean distance between what a ray shows, in normalized units, see `distortion`:
    images from few sides leave room for thick surfaces, seen too large from other sides."""
    growth: tuple[tuple[float, float], ...] = ((0.0, 0.25), (0.2, 0.5), (0.5, 1.0))
    """From which share of ``iterations`` on, at the latest, the factors have which share of their
    resolution. Many rays pass a coarse cell, so that few images are explained by surfaces and not
    by clouds."""

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.growth]
        sizes = [size for _, size in self.growth]
        ascending = starts == sorted(starts) and sizes == sorted(sizes)
        complete = starts[:1] == [0] and starts[-1] < 1 and sizes[-1] == 1

        if not (complete and ascending and sizes[0] > 0):
            raise CaldiffError(
                f'growth is {self.growth}, expected pairs of a start and a size, both ascending, '
                'from start 0 to size 1, such as 0 0.25 0.5 1; correct it'
            )

    def shortened(self, share: float) -> FactorizedTraining:
        """See `FieldTraining.shortened`."""
        return replace(self, iterations=max(1, round(share * self.iterations)))

    def schedule(self, n_rays: int) -> TrainingSchedule:
        """The stages of the training, those of the growth, on this many rays.

        Of many images a few steps see next to nothing, and the loss seems to stand still.
        """
        window = max(self.convergence.window, round(_WINDOW_SHARE * n_rays / self.rays))
        plateau = replace(self.convergence, window=window)
        return TrainingSchedule(plateau, self.iterations, [start for start, _ in self.growth])

    def train(self, data: FieldViews, context: BuildContext) -> FactorizedField:
        """See `FieldTraining.train`."""
        size = self.field.resolved(data.views, data.aabb)
        with context.seeded():
            module = FactorizedField(size, data.aabb, data.background)

        occupied = initial_occupancy(data.views, module.aabb, module.occupancy.resolution)
        if occupied is not None:
            module.occupancy.set_occupied(occupied)

        trainer = FactorizedTrainer(self, module, data, context)
        saved = context.checkpoint('field', self, data.views, data.aabb)
        train(trainer, self.schedule(trainer.n_rays), context, saved)

        return module


#: By build preset: the paper has no field of this kind.
PRESETS = {'fast': FactorizedTraining(), 'paper': FactorizedTraining()}


class FactorizedTrainer(Trainer):
    """Takes steps on random rays, while factors grow and the occupancy follows.

    Args:
        training: its numbers.
        module: the field, untrained, with its initial occupancy.
        data: the images.
        context: device and seed.
    """

    stage = 'field'

    def __init__(
        self,
        training: FactorizedTraining,
        module: FactorizedField,
        data: FieldViews,
        context: BuildContext,
    ) -> None:
        pool = RayPool.of(data.views)
        if data.views.alpha is not None:
            pool = pool[_hits(module, pool)]

        self.module: FactorizedField = module.to(context.device)
        self.generator = context.generator(context.device)
        self._training = training
        self._held_out = data.held_out
        self._pool = pool.to(context.device)

    @property
    def n_rays(self) -> int:
        """Rays that there are."""
        return len(self._pool)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The factors learn faster than the colour network."""
        network = list(self.module.color_net.parameters())
        factors = [
            parameter
            for name, parameter in self.module.named_parameters()
            if not name.startswith('color_net')
        ]

        training = self._training
        betas = (0.9, 0.99)
        return [
            {'params': factors, 'lr': training.learning_rate, 'betas': betas},
            {'params': network, 'lr': training.network_learning_rate, 'betas': betas},
        ]

    def begin_stage(self, schedule: TrainingSchedule) -> None:
        """Let the factors grow to the resolution of the stage."""
        share = self._training.growth[schedule.stage][1]
        self.module.resample(max(2, round(share * self.module.config.resolution)))

    def loss(self, schedule: TrainingSchedule) -> Tensor:
        """Colour error of random rays, and what keeps the geometry sound."""
        training = self._training
        module = self.module
        device = self._pool.pixels.device
        chosen = torch.randint(
            len(self._pool), (training.rays,), generator=self.generator, device=device
        )
        rays = self._pool[chosen]
        target, background, jitter = on_random_background(rays.pixels, self.generator)

        # coarse factors need no more than a sample per cell or so
        sampling = min(1.0, 2 * training.growth[schedule.stage][1])
        samples, weights = module.march(rays.origins, rays.directions, sampling, jitter)
        out = module.composite(
            samples, weights, rays.origins, directions=rays.directions, background=background
        )

        depth_error: Tensor | float = 0.0
        spread: Tensor | float = 0.0

        if training.exact_depth or not self._grown(schedule):
            depth = rays.pixels[:, 4]
            depth_error = ((out.depth - depth).abs() * (depth > 0)).mean()

        if self._grown(schedule):
            step = module.occupancy.step / sampling
            spread = distortion(samples, weights, step, n_rays=len(rays))

        return (
            F.mse_loss(out.rgb, target)
            + training.depth_weight * depth_error
            + training.distortion_weight * spread
            + module.regularization()
        )

    def after_step(self, schedule: TrainingSchedule) -> dict[str, float]:
        """Let the occupancy follow; PSNR on held-out images, now and then."""
        if schedule.steps % _OCCUPANCY_INTERVAL == 0:
            # early on, only what the images have made emptier than it was is empty
            emptier = self.module.initial_opacity / 2
            self.module.update_occupancy(_MIN_OPACITY if self._grown(schedule) else emptier)

        if self._held_out is None or not (schedule.ended or schedule.steps % PSNR_INTERVAL == 0):
            return {}

        return {'psnr': psnr(self.module, self._held_out, MAX_PSNR_VIEWS)}

    def finish(self) -> None:
        """Measure the occupancy a last time."""
        self.module.update_occupancy(_MIN_OPACITY)

    def _grown(self, schedule: TrainingSchedule) -> bool:
        return schedule.stage + 1 == len(self._training.growth)


def _hits(module: FactorizedField, pool: RayPool) -> Tensor:
    """Rays that pass occupied voxels, bool (N,): the others teach nothing."""
    hits = torch.zeros(len(pool), dtype=torch.bool)
    for part in torch.arange(len(pool)).split(1 << 16):
        rays = pool[part]
        samples = module.occupancy.sample(rays.origins, rays.directions, module.config.near)
        hits[part[samples.ray]] = True

    return hits
