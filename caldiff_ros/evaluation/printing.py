# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables as they are printed, for a terminal and for a document."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class PrintedTable:
    """One table.

    Attributes:
        title: what stands above it.
        columns: what they hold, and their share of the width in a picture.
        rows: the texts of every row.
        bands: of every row, what it has in common with those that it stands together with.
    """

    title: str
    columns: dict[str, float]
    rows: Sequence[Sequence[str]]
    bands: Sequence[Hashable]


@dataclass(frozen=True)
class Sheet:
    """Tables that belong together, and what they are made from.

    Attributes:
        content: the numbers, for a JSON file.
        tables: at least one.
        note: what the columns mean and what they were made with.
    """

    content: dict[str, Any]
    tables: Sequence[PrintedTable]
    note: str


def rich_table(table: PrintedTable, note: str = '') -> Table:
    """For a terminal, with a note below it."""
    made = Table(*table.columns, title=table.title, caption=note or None, title_justify='left')
    previous = None

    for texts, band in zip(table.rows, table.bands, strict=True):
        if previous not in (None, band):
            made.add_section()
        previous = band
        made.add_row(*texts)

    return made


def markdown(sheet: Sheet) -> str:
    """For a document."""
    lines = []
    for table in sheet.tables:
        header = [list(table.columns), ['---'] * len(table.columns)]
        lines += [f'**{table.title}**', '', *map(_line, [*header, *table.rows]), '']

    return '\n'.join([*lines, sheet.note, ''])


def _line(texts: Sequence[str]) -> str:
    return f'| {" | ".join(texts)} |'
