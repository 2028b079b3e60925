# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command before any verb does its work."""

import subprocess
import sys
import time

import pytest

from caldiff_ros.cli import command, main
from caldiff_ros.cli.command import VERBS
from caldiff_ros.errors import CaldiffError


def run_python(code):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)


def test_help_is_quick_and_lists_the_verbs():
    start = time.perf_counter()
    result = run_python(
        'import sys\nfrom caldiff_ros.cli import main\n'
        'try: main(["--help"])\n'
        'finally: print(sorted({"torch", "cv2", "numpy", "tyro"} & set(sys.modules)))'
    )
    assert time.perf_counter() - start < 1
    assert result.stdout.endswith('[]\n')
    assert all(verb in result.stdout for verb in VERBS)


@pytest.mark.parametrize('argv', [[], ['conquer'], ['--conquer']])
def test_unknown_verbs_have_status_2(argv, capsys):
    with pytest.raises(SystemExit) as info:
        main(argv)
    assert info.value.code == 2
    assert capsys.readouterr().out == ''


def fail_with(error):
    def run(verb, argv):
        raise error

    return run


@pytest.mark.parametrize(
    ('error', 'status', 'sentence'),
    [
        (CaldiffError('the map is old, rebuild it'), 2, 'the map is old, rebuild it'),
        (OSError(28, 'No space left', '/m'), 2, '/m cannot be written (No space left), expected f'),
        (OSError(122, 'Disk quota exceeded'), 2, 'the output cannot be written (Disk quota exceed'),
        (OSError(13, 'Permission denied', '/m'), 2, '/m cannot be used (Permission denied), give'),
        (KeyboardInterrupt(), 130, 'interrupted'),
    ],
)
def test_errors_are_one_line_on_standard_error(monkeypatch, capsys, error, status, sentence):
    monkeypatch.setattr(command, '_run', fail_with(error))
    assert main(['evaluate']) == status
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith('caldiff evaluate: ')
    assert sentence in err
    assert err.count('\n') == 1


@pytest.mark.parametrize('verb', ['reproduce', 'benchmark'])
def test_verbs_that_plot_name_the_extra_that_they_need(monkeypatch, capsys, verb):
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    assert main([verb, '--help']) == 2
    assert capsys.readouterr().err == (
        f'caldiff {verb}: the package matplotlib is required for this but not installed; '
        'pip install "caldiff_ros[figures]"\n'
    )


#: Imports the other verbs where matplotlib, which is not part of the core, cannot be imported.
IMPORT_CORE_VERBS = """
import importlib, sys
sys.modules['matplotlib'] = None
from caldiff_ros.cli.command import VERBS
for verb in set(VERBS) - {'reproduce', 'benchmark'}:
    importlib.import_module('caldiff_ros.cli.' + verb.replace('-', '_'))
"""


def test_the_other_verbs_do_not_plot():
    result = run_python(IMPORT_CORE_VERBS)
    assert result.returncode == 0, result.stderr


def test_defects_are_not_hidden(monkeypatch):
    monkeypatch.setattr(command, '_run', fail_with(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(['evaluate'])
