# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""COLMAP in a process of its own: where it cannot write or allocate, it ends its process."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection

from caldiff_ros.capture.keypoints import Workplace
from caldiff_ros.capture.pictures import Pictures
from caldiff_ros.errors import CaldiffError

#: What is done there; its results are files.
Work = Callable[[Pictures, Workplace], None]


def run_apart(work: Work, taken: Pictures, at: Workplace) -> None:
    """Call ``work(taken, at)`` in another process, whose progress is reported here.

    Raises:
        CaldiffError: if the work raises one, or the process ends.
    """
    context = multiprocessing.get_context('spawn')
    pipe, other = context.Pipe(duplex=False)
    silent = replace(at, report=_not_here)  # a report cannot be sent
    process = context.Process(target=_serve, args=(other, work, taken, silent), daemon=True)
    process.start()
    other.close()

    try:
        while (message := pipe.recv()) is not None:
            if isinstance(message, (CaldiffError, OSError)):
                raise message
            if isinstance(message, str):
                raise RuntimeError(message)
            at.report(*message)
    except EOFError:
        folder = at.database.parent
        free = shutil.disk_usage(folder).free
        raise CaldiffError(
            f'COLMAP was terminated with {free / 1e9:.1f} GB free in {folder}, '
            'expected enough disk space and memory; free some and start the same command '
            'again, it resumes'
        ) from None
    finally:
        process.kill()
        process.join()


def _not_here(stage: str, step: int, n_steps: int, numbers: dict[str, float]) -> None:
    """Stands for the report on the way to the other process."""


def _end_with_parent() -> None:
    """Wait until the process that reports has ended, even by SIGKILL, and end with it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # COLMAP in another thread cannot be asked to stop


def _serve(pipe: Connection, work: Work, taken: Pictures, at: Workplace) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process ends this one
    # COLMAP's last words, which are a stack trace
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    try:
        work(taken, replace(at, report=lambda *progress: pipe.send(progress)))
        pipe.send(None)
    except BrokenPipeError:  # the other process has ended
        return
    except (CaldiffError, OSError) as error:
        pipe.send(error)
    except Exception:
        pipe.send(traceback.format_exc())
