# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Words for errors that nobody foresaw, and problems that are logged once while they last."""

from __future__ import annotations

from rclpy.impl.rcutils_logger import RcutilsLogger


def describe_exception(error: Exception) -> str:
    """Kind and text of an error, in one line."""
    return f'{type(error).__name__}: {" ".join(str(error).split())}'


class Complaints:
    """Logs a problem with something when it begins or changes, not as long as it stays the same.

    Args:
        log: of the node.
    """

    def __init__(self, log: RcutilsLogger) -> None:
        self._log = log
        self._last: dict[str, str] = {}

    def error(self, about: str, problem: str) -> None:
        """Log a problem with something as an error; empty for none."""
        if self._is_new(about, problem):
            self._log.error(problem)

    def warn(self, about: str, problem: str) -> None:
        """Log a problem with something that goes on in spite of it; empty for none."""
        if self._is_new(about, problem):
            self._log.warning(problem)

    def _is_new(self, about: str, problem: str) -> bool:
        before = self._last.get(about, '')
        self._last[about] = problem
        return bool(problem) and problem != before
