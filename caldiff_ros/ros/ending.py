# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The end of an executable: SIGINT and SIGTERM lead to exit status 0, whenever they come."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.executors import Executor

_asked_to_end = False


def leave_on_signals() -> None:
    """Leave the process at once with status 0, as long as it has nothing open.

    An exception in the midst of the initialization of ROS would unwind through libraries that are
    half made, and they crash at the end of the process. An exception in an import may be lost: the
    interpreter ignores what is raised where it drops a module's lock, for one, and the process
    would go on for ever.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))


def end_on_signals() -> None:
    """End the process with status 0 from now on, with what is open closed, as while a map loads."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def spare_the_garbage_collector() -> None:
    """Keep what is loaded out of its sight.

    The libraries are 400,000 objects, and a look through them for garbage halts all threads for
    0.2 s, at the end of the process too.
    """
    gc.collect()
    gc.freeze()


def spin_until_end(executor: Executor) -> None:
    """Serve the nodes of an executor until the process is asked to end, if it was not before.

    It may have been without anybody noticing: what is raised in a destructor is ignored.
    """
    if _asked_to_end:
        return

    from rclpy.executors import ExternalShutdownException

    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException, SystemExit):
        pass
    except Exception:
        # the signal may come while rclpy converts a message, and pybind11 makes a RuntimeError of
        # the SystemExit; or a message was to be sent when the context was down already
        if not _asked_to_end:
            raise


def _end(*_) -> None:
    global _asked_to_end
    _asked_to_end = True
    sys.exit(0)
