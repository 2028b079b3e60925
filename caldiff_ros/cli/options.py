# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes of options that only some uses of a verb have."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options that can be refused, by name, where they do nothing."""

    @property
    def flags(self) -> list[str]:
        """The options that were given, as they are written on the command line."""
        return [
            f'--{option.name.replace("_", "-")}'
            for option in fields(self)
            if getattr(self, option.name) != option.default
        ]
