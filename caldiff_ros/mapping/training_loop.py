# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one training loop: what is trained by gradient steps brings its loss and its parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.context import BuildContext, Checkpoint


@dataclass(frozen=True, kw_only=True)
class PlateauRule:
    """When a training has learned what it can at a learning rate, and how it then ends."""

    window: int = 50
    """Window in steps, at least: its mean loss is compared with that of the window before."""
    tolerance: float = 0.05
    """The loss has stopped falling if it decreases by less than this fraction per window."""
    decay: float = 0.5
    """Length of the decay of the learning rate to zero, as a fraction of the steps before it."""

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 <= self.tolerance < 1 or not 0 < self.decay < float('inf'):
            raise CaldiffError(
                f'convergence is window {self.window}, tolerance {self.tolerance}, decay '
                f'{self.decay}, expected at least 1 step, a share from 0 to 1, and a positive '
                'share; correct it'
            )


class TrainingSchedule:
    """Trains until the loss ceases to fall; then the learning rate falls.

    Args:
        plateau: when the loss has stopped falling; None for a fixed length, at a constant learning
            rate.
        iterations: most steps in all.

    Attributes:
        steps: taken so far.
    """

    def __init__(self, plateau: PlateauRule | None, iterations: int) -> None:
        self._plateau = plateau
        self._iterations = iterations
        self.steps = 0
        self._losses: list[float] = []
        self._decays_from: int | None = None

    @property
    def expected(self) -> int:
        """Most steps in all, as far as is known by now."""
        if self._plateau is None or self._decays_from is None:
            return self._iterations

        decay = max(1, round(self._plateau.decay * self._decays_from))
        return min(self._iterations, self._decays_from + decay)

    @property
    def ended(self) -> bool:
        """Whether the training is over."""
        return self.steps >= self.expected

    @property
    def learning_rate(self) -> float:
        """Of the next step, as a share of the first one's."""
        if self._decays_from is None:
            return 1.0
        return 1 - (self.steps - self._decays_from) / (self.expected - self._decays_from)

    def advance(self, loss: float) -> None:
        """Count a step that had this loss."""
        self.steps += 1
        if self._plateau is None or self._decays_from is not None:
            return

        self._losses.append(loss)
        latest = round(self._iterations / (1 + self._plateau.decay))
        if self._ceased_to_fall(self._plateau) or self.steps >= latest:
            self._losses = []
            self._decays_from = self.steps

    def _ceased_to_fall(self, plateau: PlateauRule) -> bool:
        n = plateau.window
        if len(self._losses) < 2 * n or len(self._losses) % n:
            return False

        before = sum(self._losses[-2 * n : -n])
        now = sum(self._losses[-n:])
        return now > (1 - plateau.tolerance) * before

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            'steps': self.steps,
            'losses': self._losses,
            'decays_from': self._decays_from,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.steps = state['steps']
        self._losses = list(state['losses'])
        self._decays_from = state['decays_from']


class Trainer(ABC):
    """What `train` needs to know of a training.

    Attributes:
        stage: name of its progress.
        module: what is trained, on its device.
        generator: draws everything random; part of the checkpoints.
    """

    stage: str
    module: nn.Module
    generator: torch.Generator

    #: Steps between two checkpoints.
    checkpoint_interval = 200

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for Adam, each with its learning rate 'lr'.

        With 'final_share', the rate falls to this share of itself over the whole training.
        """

    @abstractmethod
    def loss(self, schedule: TrainingSchedule) -> Tensor:
        """Loss of the next step."""

    def adopt(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: B027 - optional
        """Called with every new optimizer, for a trainer that replaces its parameters."""

    def state(self) -> dict[str, Any]:
        """For a checkpoint: what there is besides module, optimizer and generator."""
        return {}

    def restore(  # noqa: B027 - optional
        self, state: dict[str, Any], module_state: dict[str, Any]
    ) -> None:
        """Go on from `state`; the module takes its own state afterwards, of other sizes maybe."""

    def after_step(self, schedule: TrainingSchedule) -> dict[str, float]:
        """Called once a step was taken and counted; returns numbers for the report."""
        return {}

    def finish(self) -> None:  # noqa: B027 - optional
        """Called once at the end."""


def train(
    trainer: Trainer, schedule: TrainingSchedule, context: BuildContext, saved: Checkpoint
) -> None:
    """Take gradient steps until the schedule ends, or resume where a stopped training was.

    The module of the trainer is left in evaluation mode, with its parameters frozen.

    Args:
        trainer: what is trained.
        schedule: how long, at which learning rate.
        context: receives 'loss' at every step, and what the trainer measures.
        saved: to resume from and to save to.

    Raises:
        CaldiffError: if it is not finished and must be, or was started on another kind of device.
    """
    # 1. Resume
    state = saved.load()
    if state is not None:
        schedule.restore(state['schedule'])
        trainer.restore(state['trainer'], state['module'])
        trainer.module.load_state_dict(state['module'])

    optimizer = _optimizer(trainer)
    if state is not None:
        optimizer.load_state_dict(state['optimizer'])

    if not schedule.ended:
        context.begin(trainer.stage)
        if state is not None:
            _restore_generator(trainer, state)

    while not schedule.ended:
        # 2. Take a step
        for group in optimizer.param_groups:
            falling = group['final_share'] ** (schedule.steps / schedule.expected)
            group['lr'] = group['initial_lr'] * schedule.learning_rate * falling

        loss = trainer.loss(schedule)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        # 3. Let schedule and trainer follow
        numbers = {'loss': loss.item()}
        schedule.advance(numbers['loss'])
        numbers |= trainer.after_step(schedule)

        # 4. Report and save
        context.progress(trainer.stage, schedule.steps, schedule.expected, numbers)

        if schedule.ended or schedule.steps % trainer.checkpoint_interval == 0:
            saved.save(
                {
                    'schedule': schedule.state(),
                    'trainer': trainer.state(),
                    'module': trainer.module.state_dict(),
                    'optimizer': optimizer.state_dict(),
                    'generator': trainer.generator.get_state(),
                    'generator_device': trainer.generator.device.type,
                }
            )

    trainer.finish()
    trainer.module.requires_grad_(False).eval()


def _restore_generator(trainer: Trainer, state: dict[str, Any]) -> None:
    before, now = state['generator_device'], trainer.generator.device.type
    if before != now:
        raise CaldiffError(
            f'the training of the {trainer.stage} was started on {before} and cannot continue on '
            f'{now}, expected the same device; give --device {before}, or delete the work folder'
        )
    trainer.generator.set_state(state['generator'])


def _optimizer(trainer: Trainer) -> torch.optim.Optimizer:
    groups = [
        {'final_share': 1.0, **group, 'initial_lr': group['lr']}
        for group in trainer.parameter_groups()
    ]
    optimizer = torch.optim.Adam(groups, fused=True)
    trainer.adopt(optimizer)
    return optimizer
