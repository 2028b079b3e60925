# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A method in a process of its own, so that its memory can be measured separately."""

from __future__ import annotations

import multiprocessing
import resource
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from caldiff_ros.baselines.setup import Setup
from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.methods import named_method
from caldiff_ros.evaluation.protocol import QueryResult, run_queries
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.mapping.views import Views
from caldiff_ros.scenes import Frame


@dataclass(frozen=True)
class Task:
    """What a worker needs to make its method ready.

    Attributes:
        map_path: folder of the map.
        train: the images that the map was made of.
        method: name of the method.
        work: folder that the method may keep things in.
        seed: of the method.
        device: where to compute.
    """

    map_path: Path
    train: list[Frame]
    method: str
    work: Path
    seed: int
    device: str


class Worker:
    """Localizes one image at a time in another process; a context manager.

    Attributes:
        preparation_seconds: that the method took to be ready for the map.
    """

    def __init__(self, task: Task) -> None:
        self.method = task.method
        context = multiprocessing.get_context('spawn')  # a fork would share memory and threads
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, task), daemon=True)
        self._process.start()
        other.close()
        self.preparation_seconds = self._received()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.kill()

    def localize(self, frame: Frame) -> tuple[QueryResult, float]:
        """The judged query, and the largest resident memory so far in MB."""
        self._pipe.send(frame)
        return self._received()

    def _received(self) -> Any:
        try:
            result = self._pipe.recv()
        except EOFError:
            raise CaldiffError(
                f'the process of {self.method} ended, expected an answer; look for its error above,'
                ' and try with less memory in use'
            ) from None

        if isinstance(result, CaldiffError):
            raise result

        return result


def _serve(pipe: Connection, task: Task) -> None:
    try:
        localization_map = LocalizationMap.load(task.map_path, task.device)
        views = Views.load(task.train, localization_map.camera, localization_map.normalization)
        start = time.perf_counter()
        task.work.mkdir(parents=True, exist_ok=True)
        localizer = named_method(task.method).make(
            Setup(localization_map, views, task.work, seed=task.seed, device=task.device)
        )
        pipe.send(time.perf_counter() - start)

        while True:
            frame = pipe.recv()
            [query] = run_queries(
                localizer, [frame], localization_map.unit, localization_map.background
            )
            pipe.send((query, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    except EOFError:  # the other side has finished
        return
    except CaldiffError as error:
        pipe.send(error)
