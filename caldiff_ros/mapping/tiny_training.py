# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training TinyNeRF as in the paper (section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

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
from caldiff_ros.mapping.training_loop import Trainer, TrainingSchedule, train
from caldiff_ros.nerf.tiny import TinyNerf, TinyNerfConfig


@dataclass(frozen=True, kw_only=True)
class TinyNerfTraining(FieldTraining):
    """How to train TinyNeRF as in the paper (section 4.2): hours on a GPU, not for a CPU."""

    kind: ClassVar[str] = 'tiny'

    field: TinyNerfConfig = dataclass_field(default_factory=TinyNerfConfig)
    iterations: int = 20_000
    """Optimizer steps, one whole training image each."""
    learning_rate: float = 5e-4
    """Adam's learning rate; the paper does not give it, this is that of the published TinyNeRF."""

    def train(self, data: FieldViews, context: BuildContext) -> TinyNerf:
        """See `FieldTraining.train`."""
        with context.seeded():
            tiny = TinyNerf(self.field, data.aabb, data.background).to(context.device)

        trainer = TinyNerfTrainer(self, tiny, data, context)
        saved = context.checkpoint('field', self, data.views, data.aabb)
        train(trainer, TrainingSchedule(None, self.iterations), context, saved)

        return tiny

    def shortened(self, share: float) -> TinyNerfTraining:
        """See `FieldTraining.shortened`."""
        return replace(self, iterations=max(1, round(share * self.iterations)))


#: By build preset: there is one size.
PRESETS = {'fast': TinyNerfTraining(), 'paper': TinyNerfTraining()}


class TinyNerfTrainer(Trainer):
    """Takes steps on one whole training image each.

    Args:
        training: its numbers.
        module: the field, untrained.
        data: the images.
        context: device and seed.
    """

    stage = 'field'

    def __init__(
        self, training: TinyNerfTraining, module: TinyNerf, data: FieldViews, context: BuildContext
    ) -> None:
        self.module: TinyNerf = module
        self.generator = context.generator(context.device)
        self._training = training
        self._held_out = data.held_out
        self._n_views = len(data.views)
        self._pool = RayPool.of(data.views).to(context.device)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """See `Trainer`."""
        return [{'params': list(self.module.parameters()), 'lr': self._training.learning_rate}]

    def loss(self, schedule: TrainingSchedule) -> Tensor:
        """Mean squared colour error of a random image."""
        device = self._pool.pixels.device
        n_pixels = len(self._pool) // self._n_views
        view = int(torch.randint(self._n_views, (1,), generator=self.generator, device=device))
        rays = self._pool[torch.arange(view * n_pixels, (view + 1) * n_pixels, device=device)]

        target, background, jitter = on_random_background(rays.pixels, self.generator)
        out = self.module.render_rays(
            rays.origins, rays.directions, jitter=jitter, background=background
        )
        return F.mse_loss(out.rgb, target)

    def after_step(self, schedule: TrainingSchedule) -> dict[str, float]:
        """PSNR on held-out images, now and then."""
        if self._held_out is None or not (schedule.ended or schedule.steps % PSNR_INTERVAL == 0):
            return {}
        return {'psnr': psnr(self.module, self._held_out, MAX_PSNR_VIEWS)}
