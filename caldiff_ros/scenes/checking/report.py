# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the check of a capture found, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from caldiff_ros.scenes.scene import Scene

#: 'fine'; 'unknown' where too little matches; 'note' for information; 'finding' for what
#: spoils a map.
Level = Literal['fine', 'unknown', 'note', 'finding']
#: Names of frames that a sentence lists.
_MOST_NAMED = 8


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: what was checked.
        text: what was found, without a full stop.
        level: what that means.
    """

    check: str
    text: str
    level: Level = 'fine'


@dataclass(frozen=True)
class CaptureReport:
    """The outcome of all checks.

    Attributes:
        scene: the dataset, with its poses read in the convention that agrees with the images.
        rows: one per check.
    """

    scene: Scene
    rows: tuple[Finding, ...]

    @property
    def findings(self) -> list[Finding]:
        """What spoils a map."""
        return [row for row in self.rows if row.level == 'finding']

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.findings:
            return f'{self.scene.name} can become a map'

        checks = ', '.join(row.check for row in self.findings)
        return f'{self.scene.name} would become a bad map ({checks})'


def named(names: Sequence[str]) -> str:
    """Names of frames, as many as a sentence can hold."""
    shown = ', '.join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f'{shown} and {len(names) - _MOST_NAMED} more'
