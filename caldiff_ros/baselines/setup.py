# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every method is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caldiff_ros.devices import pick_device
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.mapping.context import BuildContext, Report, no_report
from caldiff_ros.mapping.views import Views
from caldiff_ros.scenes import Frame


@dataclass(frozen=True)
class Setup:
    """The same for all methods that are compared; each takes what it needs.

    Attributes:
        localization_map: the map.
        views: its training views, at the map's resolution.
        work: folder that keeps what a method trains or computes in advance, for the same views and
            seed; None keeps nothing.
        seed: of trainings and of each localization.
        device: where to compute; 'auto' takes the GPU if there is one.
        report: receives the progress of trainings.
        photographs: the training images for methods that make use of their full size; without,
            they see what the map was made of.
    """

    localization_map: LocalizationMap
    views: Views
    work: Path | None = None
    seed: int = 0
    device: str = 'auto'
    report: Report = no_report
    photographs: Sequence[Frame] = ()

    @property
    def context(self) -> BuildContext:
        """Seed, device and work folder, which is made, for what a method trains."""
        if self.work is not None:
            self.work.mkdir(parents=True, exist_ok=True)

        device = pick_device(self.device)
        return BuildContext(seed=self.seed, device=device, work=self.work, report=self.report)
