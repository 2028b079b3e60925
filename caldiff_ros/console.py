# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The terminal that every command prints to: as it was written, whatever it looks like."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """A console that takes nothing for markup: file names hold [brackets] and :colons:.

    Args:
        options: further ones of `rich.console.Console`.
    """
    return Console(markup=False, emoji=False, **options)
