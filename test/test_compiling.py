# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kernels where Numba is missing, where nothing can be kept, and from one process to the next."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from caldiff_ros import compiling
from caldiff_ros.compiling import compiled, is_kept
from caldiff_ros.errors import CaldiffError


def double(x):
    return 2 * x


def test_without_numba_the_first_call_says_what_to_do(monkeypatch):
    monkeypatch.setattr(compiling, '_missing', ImportError('no wheel'))
    function = compiled(double)
    with pytest.raises(CaldiffError, match=r'cannot be imported \(no wheel\), .* pip install'):
        function(1)


def test_where_nothing_can_be_kept_it_is_compiled_for_this_process(monkeypatch, caplog):
    original = numba.njit

    def njit(*args, cache=False, **options):
        def refuse(function):
            raise RuntimeError('cannot cache function: no locator available')

        return refuse if cache else original(*args, **options)

    monkeypatch.setattr(numba, 'njit', njit)
    compiling._say_uncached.cache_clear()
    first, second = compiled(double), compiled(double)
    assert first(3) == 6 and second(4) == 8
    assert not is_kept(first)
    assert [record.message for record in caplog.records] == [
        'no folder for compiled kernels is writable, so they are compiled at every start; '
        'set NUMBA_CACHE_DIR to a writable one'
    ]


def test_what_one_process_compiles_the_next_one_finds(tmp_path):
    root = Path(__file__).parents[1]
    (tmp_path / 'kernels.py').write_text(
        'from caldiff_ros.compiling import compiled, is_kept\n'
        '@compiled\n'
        'def double(x):\n'
        '    return 2 * x\n'
    )
    script = 'from kernels import double, is_kept; print(is_kept(double), double(4))'
    path = os.pathsep.join([str(tmp_path), str(root)])
    environment = {**os.environ, 'NUMBA_CACHE_DIR': str(tmp_path / 'kept'), 'PYTHONPATH': path}
    told = [
        subprocess.run(
            [sys.executable, '-c', script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert told == ['False 8', 'True 8']
