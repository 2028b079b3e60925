# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The check before a build, made once: later stages and resumed runs do not repeat it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from caldiff_ros.mapping.context import Checkpoint, digest
from caldiff_ros.scenes import Scene
from caldiff_ros.scenes.checking import (
    CaptureReport,
    ConventionRule,
    Finding,
    check_capture,
    with_convention,
)
from caldiff_ros.scenes.conventions import Convention


class RememberedCheck:
    """`check_capture` of a dataset, with its outcome on disk.

    Args:
        scene: the dataset as its reader found it.
        rule: see `check_capture`.
        work: folder of the unfinished build.
    """

    def __init__(self, scene: Scene, rule: ConventionRule, work: Path) -> None:
        self._scene = scene
        self._rule: ConventionRule = rule
        identity = digest(rule, scene.frames, list(_files(scene)))
        self._checkpoint = Checkpoint(work / 'check.ckpt', identity)

    def run(self) -> CaptureReport:
        """The outcome: that of an earlier run if neither files nor poses have changed since."""
        known = self._checkpoint.load()
        if known is None:
            return check_capture(self._scene, self._rule)

        scene = with_convention(self._scene, Convention(**known['convention']))
        return CaptureReport(scene, tuple(Finding(**row) for row in known['rows']))

    def remember(self, report: CaptureReport) -> None:
        """Keep what was found for the runs after this."""
        self._checkpoint.save({
            'convention': asdict(report.scene.convention),
            'rows': [asdict(row) for row in report.rows],
        })  # fmt: skip


def _files(scene: Scene) -> Iterator[tuple[int, int]]:
    """Sizes and times of the files that are looked at."""
    for frame in scene.frames:
        for path in (frame.image_path, frame.depth_path):
            if path is not None:
                stat = path.stat()
                yield stat.st_size, stat.st_mtime_ns
