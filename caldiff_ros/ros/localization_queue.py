# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which localization runs: one at a time, and what was asked for goes first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from std_msgs.msg import Header

from caldiff_ros.localization.answer import Answer, CancelToken, Observer
from caldiff_ros.localization.prior import Prior
from caldiff_ros.ros.loaded_map import LoadedMap
from caldiff_ros.ros.session import Session

BUSY = 'a localization is already running, try again when it has finished'


@dataclass(frozen=True)
class Outcome:
    """How a request ended.

    Attributes:
        answer: of the localization.
        header: stamp of the image, frame of the map.
        transform_problem: why the pose did not go to TF although it should have, or empty.
    """

    answer: Answer
    header: Header
    transform_problem: str = ''


@dataclass(kw_only=True)
class Request:
    """A localization to carry out.

    Attributes:
        loaded_map: what to work with.
        session: the state that it belongs to, and what it publishes through.
        requested_s: of `time.monotonic`; images received later are preferred.
        explicit: whether somebody waits for the outcome; it pre-empts what nobody asked for.
        prior: guess of the pose, or None.
        observer: sees the particles, in the worker's thread, or None.
        outcome: set as soon as the answer is known and published, before anything else is drawn.
        cancel_token: ends the localization early.
        cancel_reason: one sentence about why.
        answered: whether the answer is known; the next request may come now.
    """

    loaded_map: LoadedMap
    session: Session
    requested_s: float
    explicit: bool = True
    prior: Prior | None = None
    observer: Observer | None = None
    outcome: Future[Outcome] = field(default_factory=Future)
    cancel_token: CancelToken = field(default_factory=CancelToken)
    cancel_reason: str = ''
    answered: bool = False

    def cancel(self, reason: str) -> None:
        """End it early; the first reason counts."""
        self.cancel_reason = self.cancel_reason or reason
        self.cancel_token.cancel()


class LocalizationQueue:
    """Hands requests to the one worker thread.

    Args:
        work: carries out a request and sets its outcome, in the worker's thread; never raises.
        wake: called after a cancellation, for a worker that waits.
    """

    def __init__(self, work: Callable[[Request], None], wake: Callable[[], None]) -> None:
        self._work = work
        self._wake = wake
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix='localize')
        self._lock = threading.Lock()
        self._current: Request | None = None
        self._background = CancelToken()

    def submit(self, request: Request) -> bool:
        """Take a request; False if one runs that it does not pre-empt."""
        with self._lock:
            current = self._current
            if current is not None and not current.answered:
                if current.explicit or not request.explicit:
                    return False

                self._cancel(current, 'preempted by a request')

            self._current = request
            self._worker.submit(self._work, request)
            return True

    def run_in_background(self, task: Callable[[CancelToken], None]) -> None:
        """Let the worker do something else between two localizations, in place of what it had."""
        with self._lock:
            self._background.cancel()
            self._background = CancelToken()
            self._worker.submit(task, self._background)

    def cancel(self, request: Request, reason: str) -> None:
        """End a request early."""
        with self._lock:
            self._cancel(request, reason)

    def cancel_current(self, reason: str) -> None:
        """End the localization that runs or waits, if any, early."""
        with self._lock:
            if self._current is not None:
                self._cancel(self._current, reason)

    def stop(self, reason: str) -> None:
        """End everything early."""
        self.cancel_current(reason)
        self._background.cancel()

    def close(self) -> None:
        """End everything and wait for the worker's thread."""
        self.stop('the node is shutting down')
        self._worker.shutdown(wait=True)

    def _cancel(self, request: Request, reason: str) -> None:
        request.cancel(reason)
        self._wake()
