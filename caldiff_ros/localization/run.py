# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What accompanies one localization: its random numbers, observer, cancel token and clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.answer import CancelToken, Observer, Particles
from caldiff_ros.localization.map import LocalizationMap


@dataclass
class Run:
    """One localization.

    Attributes:
        map: the map, for the frame of what observers see.
        generator: the only source of random numbers.
        observer: receives the particles after every step, or None.
        cancel: stops the run between two steps, or None.
        timings: seconds per stage so far.
    """

    map: LocalizationMap
    generator: torch.Generator
    observer: Observer | None = None
    cancel: CancelToken | None = None
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        start = time.perf_counter()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - start

    def tell(
        self,
        stage: str,
        step: int,
        n_steps: int,
        T_norm_cam: Pose,
        errors: Tensor | None = None,
    ) -> None:
        """Show the particles (P,) to the observer.

        Raises:
            Cancelled: if the run was cancelled.
        """
        if self.cancel is not None:
            self.cancel.raise_if_cancelled()
        if self.observer is not None:
            poses = self.map.to_map(T_norm_cam)
            shown = None if errors is None else errors.detach().cpu().numpy()
            self.observer(Particles(stage, step, n_steps, poses, shown))
