# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Check whether a dataset is suitable for a map.

Matches the images with each other, which takes seconds, and checks whether poses and intrinsics
explain the matches: under the four pose conventions and with other focal lengths; whether frames
have wrong poses or are mirrored, zoomed, duplicate, isolated or blurred; whether the camera
translates; and whether depth images and poses have the same scale. caldiff build-map runs this
check first.

The exit status is 0 if nothing was found that spoils a map, and 1 otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from caldiff_ros.cli.common import DataPath
from caldiff_ros.console import plain_console
from caldiff_ros.scenes import open_scene
from caldiff_ros.scenes.checking import CaptureReport, ConventionRule, check_capture

_FINDINGS = 1


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of ``caldiff check``."""

    data: DataPath
    """Dataset with known poses, in any format that build-map reads."""

    convention: ConventionRule = 'auto'
    """What to do if the images show that the poses are in another convention than that of the
    format: auto converts them, as build-map does; strict reports a finding."""


def run(arguments: Arguments) -> int:
    """Check and print what was found."""
    report = check_capture(open_scene(arguments.data), arguments.convention)
    console = plain_console()
    console.print(_table(report))
    console.print(report.verdict, soft_wrap=True)

    return _FINDINGS if report.findings else 0


def _table(report: CaptureReport) -> Table:
    table = Table('check', 'verdict', 'what was found', box=SIMPLE_HEAD)
    style = {'fine': '', 'unknown': 'dim', 'note': 'yellow', 'finding': 'bold red'}
    for row in report.rows:
        table.add_row(row.check, row.level, row.text, style=style[row.level])

    return table
