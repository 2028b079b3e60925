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
from caldiff_ros.ros.map_health import map_problem, map_summary, map_values

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


@dataclass(frozen=True)
class CameraState:
    """How the images arrive.

    Attributes:
        problem: why they cannot be localized; empty if they can.
        values: what is known about them.
    """

    problem: str
    values: dict[str, str]


def diagnostics(
    header: Header,
    node_name: str,
    state: str,
    loaded_map: LoadedMap | None,
    statistics: Statistics,
    camera: CameraState | None,
) -> DiagnosticArray:
    """The message: one status each for the localization, the camera and the map.

    Args:
        header: with the time.
        node_name: with its namespace.
        state: label of the lifecycle, such as 'active'.
        loaded_map: None while no map is loaded.
        statistics: of the answers.
        camera: None while the node is not active.
    """
    last = statistics.last
    if state != 'active':
        level, message = DiagnosticStatus.STALE, f'the node is {state}'
    elif last is None:
        level, message = DiagnosticStatus.STALE, 'nothing has been localized yet'
    else:
        level, message = _LEVELS[last.status], f'{last.status.name}: {last.message}'

    values = {'lifecycle state': state, **_map_values(loaded_map), **statistics.values()}
    localization = _status(f'{node_name}: localization', level, message, values=values)
    others = [_camera_status(node_name, state, camera), _map_status(node_name, loaded_map)]
    return DiagnosticArray(header=header, status=[localization, *others])


def _camera_status(node_name: str, state: str, camera: CameraState | None) -> DiagnosticStatus:
    name = f'{node_name}: camera'
    if camera is None:
        return _status(name, DiagnosticStatus.STALE, f'the node is {state}', values={})

    level = DiagnosticStatus.WARN if camera.problem else DiagnosticStatus.OK
    return _status(name, level, camera.problem or 'images arrive', values=camera.values)


def _map_status(node_name: str, loaded_map: LoadedMap | None) -> DiagnosticStatus:
    name = f'{node_name}: map'
    if loaded_map is None:
        return _status(name, DiagnosticStatus.STALE, 'no map is loaded', values={})

    problem = map_problem(loaded_map.map)
    level = DiagnosticStatus.WARN if problem else DiagnosticStatus.OK
    message = problem or map_summary(loaded_map.map)
    return _status(name, level, message, values=map_values(loaded_map.map))


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
    """Resident memory of this process; 0 where the system does not report it."""
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
