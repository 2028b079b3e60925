# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One line with the progress of an evaluation."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from caldiff_ros.evaluation.metrics import THRESHOLDS
from caldiff_ros.evaluation.protocol import QueryResult


class ProgressLine:
    """Counts queries and successes; a context manager and the ``on_query`` of `run_queries`."""

    def __init__(self, total: int, console: Console) -> None:
        self._progress = Progress(
            TextColumn('localizing'),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn('{task.description}'),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task('', total=total)
        self._successes = [0] * len(THRESHOLDS)

    def __enter__(self) -> ProgressLine:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def __call__(self, query: QueryResult) -> None:
        """Count a query."""
        for i, (translation, degrees) in enumerate(THRESHOLDS):
            success = query.translation_norm < translation and query.rotation_deg < degrees
            self._successes[i] += success

        counts = '/'.join(map(str, self._successes))
        self._progress.update(
            self._task, advance=1, description=f'right {counts}, last {query.seconds:.1f} s'
        )
