# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the paper prints; the figures are in ``paper.yaml`` beside this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

#: Rates at the four thresholds, in percent.
Rates = list[float]


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper and the protocol behind it.

    Attributes:
        caption: title.
        image_width: width of the images in pixels; None where every map has its own.
        variants: of every split, over which the rates are averaged.
        results: rates by scene, split and method.
    """

    caption: str
    image_width: int | None
    variants: int
    results: dict[str, dict[str, dict[str, Rates]]]

    def rates(self, scene: str, split: str, method: str) -> Rates | None:
        """What the paper prints in a cell, None where it prints nothing."""
        return self.results.get(scene, {}).get(split, {}).get(method)

    def splits(self, scene: str) -> list[str]:
        """Splits of a scene; for a scene that the paper does not have, those of its first one."""
        return list(self.results.get(scene) or next(iter(self.results.values())))


def paper_tables() -> dict[str, PaperTable]:
    """All tables by name: 'table1' to 'table4'."""
    content = yaml.safe_load((Path(__file__).parent / 'paper.yaml').read_text())
    return {name: PaperTable(**table) for name, table in content.items()}
