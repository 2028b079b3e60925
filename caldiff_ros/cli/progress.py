# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Progress of a training on a terminal, or as lines in a log."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

#: Stages of a build in words.
_STAGES = {
    'pairs': 'similar pictures',
    'viewpoints': 'viewpoints of the splat',
    'renders': 'renders of the splat',
    'culling': 'Gaussians in sight',
    'field': 'radiance field',
    'baking': 'renders to bake',
    'baking field': 'baked field',
    'views': 'rendered views',
    'features': 'image features',
    'diffusion': 'pose diffusion',
    'calibration field': 'calibration field',
    'calibration': 'calibration',
}
_LOG_INTERVAL_S = 15.0


class TrainingProgress:
    """One line per stage with its numbers and the time that is left; the ``report`` of a build."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            TextColumn('{task.completed:.0f}/{task.total:.0f}'),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn('{task.fields[numbers]}'),
            console=console,
            disable=not console.is_terminal,
        )

        self._tasks: dict[str, TaskID] = {}
        self._latest: dict[str, dict[str, float]] = {}
        self._logged = time.monotonic()

    def __enter__(self) -> TrainingProgress:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def __call__(self, stage: str, step: int, n_steps: int, numbers: dict[str, float]) -> None:
        """Show where a stage is; numbers stay until there are newer ones."""
        latest = self._latest.setdefault(stage, {})
        latest.update(numbers)
        words = _STAGES.get(stage, stage)
        shown = ', '.join(_as_text(name, value) for name, value in latest.items())
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(words, total=n_steps, numbers='')

        self._progress.update(self._tasks[stage], completed=step, numbers=shown)
        if not self._console.is_terminal:
            self._log(f'{words} {step}/{n_steps} {shown}', 'psnr' in numbers or step == n_steps)

    def _log(self, line: str, important: bool) -> None:
        now = time.monotonic()
        if important or now - self._logged > _LOG_INTERVAL_S:
            self._logged = now
            self._console.print(line, soft_wrap=True, highlight=False)


def _as_text(name: str, value: float) -> str:
    return f'PSNR {value:.1f} dB' if name == 'psnr' else f'{name} {value:.4g}'
