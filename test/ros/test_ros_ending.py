# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import signal
import subprocess
import sys

import pytest

from caldiff_ros.ros import ending


class Converting:
    """An executor in which pybind11 converts a message when something happens."""

    def __init__(self, happens) -> None:
        self.happens = happens

    def spin(self) -> None:
        try:
            self.happens()
        except SystemExit as error:
            message = "Unable to convert call argument '0' to Python object"
            raise RuntimeError(message) from error


@pytest.fixture(autouse=True)
def handlers(monkeypatch):
    monkeypatch.setattr(ending, '_asked_to_end', False)
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    ending.end_on_signals()
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_in_the_conversion_of_a_message_is_an_end_like_any_other(number):
    ending.spin_until_end(Converting(lambda: signal.raise_signal(number)))


def test_error_that_nobody_asked_for_is_raised():
    def fail():
        raise RuntimeError('the middleware fell over')

    with pytest.raises(RuntimeError, match='fell over'):
        ending.spin_until_end(Converting(fail))


class Dropped:
    """What the interpreter ignores an exception of, as it does where a module was imported."""

    def __init__(self, happens) -> None:
        self.happens = happens

    def __del__(self) -> None:
        self.happens()


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_signal_whose_exception_was_lost_ends_the_node_before_it_serves():
    dropped = Dropped(lambda: signal.raise_signal(signal.SIGINT))
    del dropped  # and nothing is raised here

    served = []
    ending.spin_until_end(Converting(lambda: served.append(True)))
    assert not served


IMPORT = """
import signal, sys
from caldiff_ros.ros.ending import leave_on_signals
leave_on_signals()
class Dropped:
    def __del__(self):
        signal.raise_signal(signal.{})
Dropped()
sys.exit(3)
"""


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM'])
def test_signal_in_an_import_is_never_lost(name):
    ended = subprocess.run(
        [sys.executable, '-c', IMPORT.format(name)], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, '')
