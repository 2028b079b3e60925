# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every method is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.mapping.context import Report, no_report
from caldiff_ros.mapping.views import Views


@dataclass(frozen=True)
class Setup:
    """The same for all methods that are compared; each takes what it needs.

    Attributes:
        place: the map.
        views: its training views, at the map's resolution.
        work: folder that keeps what a method trains or computes in advance, for the same views and
            seed; None keeps nothing.
        seed: of trainings and of each localization.
        device: where to compute; 'auto' takes the GPU if there is one.
        report: receives the progress of trainings.
    """

    place: LocalizationMap
    views: Views
    work: Path | None = None
    seed: int = 0
    device: str = 'auto'
    report: Report = no_report
