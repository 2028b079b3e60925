# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The process that COLMAP works in."""

import os
import subprocess
import sys
import time

#: Works for a minute in another process, whose number it writes to the file that it is given.
PROGRAM = """
import os, sys, time
from dataclasses import dataclass
from pathlib import Path
from caldiff_ros.capture.process import run_apart

@dataclass(frozen=True)
class Place:
    database: Path
    report: object = None

def work(pictures, at):
    at.database.write_text(str(os.getpid()))
    time.sleep(60)

if __name__ == '__main__':
    run_apart(work, None, Place(Path(sys.argv[1])))
"""


def runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def wait(ready) -> bool:
    deadline_s = time.monotonic() + 60
    while not ready() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return ready()


def test_it_ends_when_the_command_is_killed(tmp_path):
    program = tmp_path / 'program.py'
    program.write_text(PROGRAM)
    told = tmp_path / 'number'
    command = subprocess.Popen([sys.executable, str(program), str(told)])
    try:
        assert wait(lambda: told.exists() and told.read_text())
        number = int(told.read_text())
        assert runs(number)
    finally:
        command.kill()
        command.wait()
    started_s = time.monotonic()
    assert wait(lambda: not runs(number))
    assert time.monotonic() - started_s < 20  # and not when its work was done
