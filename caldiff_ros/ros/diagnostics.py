# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the node is: counts and latencies of its answers, as diagnostic_msgs/DiagnosticArray."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from caldiff_ros.localization.answer import Answer, Status
from caldiff_ros.ros.loaded_map import LoadedMap, map_path

#: Answers whose latency is kept.
_KEPT = 200
_LEVELS = {
    Status.LOCALIZED: DiagnosticStatus.OK,
    Status.AMBIGUOUS: DiagnosticStatus.WARN,
    Status.NOT_LOCALIZED: DiagnosticStatus.WARN,
    Status.FAILED: DiagnosticStatus.ERROR,
}


@dataclass(frozen=True)
class _Last:
    status: Status
    message: str
    at_s: float


class Statistics:
    """Counts answers; filled by the worker, read by the executor's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: deque[float] = deque(maxlen=_KEPT)
        self._counts: Counter[Status] = Counter()
        self._unpublished = 0
        self.last: _Last | None = None

    def record(self, answer: Answer) -> None:
        """Count an answer."""
        with self._lock:
            self._counts[answer.status] += 1
            if answer.status is not Status.FAILED:
                self._seconds.append(answer.seconds)

            self.last = _Last(answer.status, answer.message, time.monotonic())

    def record_unpublished(self) -> None:
        """Count a message that could not be published."""
        with self._lock:
            self._unpublished += 1

    def values(self) -> dict[str, str]:
        """Counts of each status, percentiles of the seconds, and the last answer with its age."""
        with self._lock:
            values = {f'count {status.name}': str(self._counts[status]) for status in Status}
            values['count unpublished'] = str(self._unpublished)

            if self._seconds:
                for percent in (50, 90, 99):
                    seconds = np.percentile(self._seconds, percent)
                    values[f'seconds, {percent} %'] = f'{seconds:.3f}'

            if self.last is not None:
                values['last status'] = self.last.status.name
                values['last message'] = self.last.message
                values['age of last in s'] = f'{time.monotonic() - self.last.at_s:.1f}'

        return values


def diagnostics(
    header: Header,
    node_name: str,
    state: str,
    loaded_map: LoadedMap | None,
    statistics: Statistics,
    camera_problem: str,
) -> DiagnosticArray:
    """The message: one status for the localization, one for the camera.

    Args:
        header: with the time.
        node_name: with its namespace.
        state: label of the lifecycle, such as 'active'.
        loaded_map: None while no map is loaded.
        statistics: of the answers.
        camera_problem: why images cannot be localized; empty if they can.
    """
    active = state == 'active'
    last = statistics.last
    inactive = f'the node is {state}'

    if not active:
        level, message = DiagnosticStatus.STALE, inactive
    elif last is None:
        level, message = DiagnosticStatus.STALE, 'nothing was localized yet'
    else:
        level, message = _LEVELS[last.status], f'{last.status.name}: {last.message}'

    values = {'lifecycle state': state, **_map_values(loaded_map), **statistics.values()}
    localization = _status(f'{node_name}: localization', level, message, values=values)

    if not active:
        camera = (DiagnosticStatus.STALE, inactive)
    elif camera_problem:
        camera = (DiagnosticStatus.WARN, camera_problem)
    else:
        camera = (DiagnosticStatus.OK, 'images arrive')

    return DiagnosticArray(
        header=header, status=[localization, _status(f'{node_name}: camera', *camera, values={})]
    )


def _map_values(loaded_map: LoadedMap | None) -> dict[str, str]:
    values = {'memory in MB': f'{memory_bytes() / 1e6:.0f}'}
    if loaded_map is None:
        return values

    device = loaded_map.localizer.device
    values |= {
        'map': loaded_map.map.name,
        'map folder': str(map_path(loaded_map.parameters)),
        'map frame': loaded_map.frame,
        'preset': loaded_map.parameters.preset,
        'device': str(device),
    }

    if device.type == 'cuda':
        values['GPU memory in MB'] = f'{torch.cuda.memory_allocated(device) / 1e6:.0f}'

    return values


def memory_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0

    return pages * os.sysconf('SC_PAGE_SIZE')


def _status(name: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(
        level=level, name=name, message=message, hardware_id='caldiff_ros', values=pairs
    )
