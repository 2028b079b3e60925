# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables and plots as PNG."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from caldiff_ros.evaluation.printing import PrintedTable

_ROW_INCHES = 0.24


def save_tables(path: Path, tables: Sequence[PrintedTable], note: str) -> None:
    """Draw tables below each other, and a note below all."""
    lines = [part for line in note.splitlines() for part in textwrap.wrap(line, 170)]
    heights = [len(table.rows) + 1 for table in tables]
    height = _ROW_INCHES * (sum(heights) + 2 * len(tables) + len(lines))
    figure = Figure(figsize=(13, height), dpi=120, layout='constrained')
    all_axes = figure.subplots(len(tables), squeeze=False, height_ratios=heights)[:, 0]

    for axes, table in zip(all_axes, tables, strict=True):
        _draw(axes, table)

    figure.supxlabel('\n'.join(lines), fontsize=7, x=0.01, ha='left')
    figure.savefig(path)


def _draw(axes: Axes, table: PrintedTable) -> None:
    """One table, its bands alternately grey."""
    axes.set_axis_off()
    axes.set_title(table.title, loc='left', fontweight='bold')
    drawn = axes.table(
        [list(texts) for texts in table.rows],
        colLabels=list(table.columns),
        colWidths=list(table.columns.values()),
        cellLoc='left',
        bbox=Bbox.unit(),
    )

    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    bands = list(dict.fromkeys(table.bands))

    for (line, _), cell in drawn.get_celld().items():
        cell.set_linewidth(0.2)
        if line == 0:
            cell.set_text_props(fontweight='bold')
        elif bands.index(table.bands[line - 1]) % 2:
            cell.set_facecolor('0.94')
