# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables and plots as PNG."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from caldiff_ros.evaluation.tables import COLUMNS, note, row_texts

_ROW_INCHES = 0.24


def save_table(path: Path, content: dict[str, Any]) -> None:
    """Draw a table of `tabulate`, one band per scene and split."""
    rows = content['rows']
    lines = textwrap.wrap(note(content), 170)
    height = _ROW_INCHES * (len(rows) + len(lines) + 3)
    figure = Figure(figsize=(13, height), dpi=120, layout='constrained')
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_title(content['caption'], loc='left', fontweight='bold')
    table = axes.table(
        [row_texts(row) for row in rows],
        colLabels=list(COLUMNS),
        colWidths=list(COLUMNS.values()),
        cellLoc='left',
        bbox=Bbox.unit(),
    )

    table.auto_set_font_size(False)
    table.set_fontsize(8)
    bands = list(dict.fromkeys((row['scene'], row['split']) for row in rows))

    for (line, _), cell in table.get_celld().items():
        cell.set_linewidth(0.2)
        if line == 0:
            cell.set_text_props(fontweight='bold')
        elif bands.index((rows[line - 1]['scene'], rows[line - 1]['split'])) % 2:
            cell.set_facecolor('0.94')

    figure.supxlabel('\n'.join(lines), fontsize=7, x=0.01, ha='left')
    figure.savefig(path)
