# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The linters of ament, where they can be imported; `make lint` runs ruff everywhere."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = [str(ROOT / name) for name in ('caldiff_ros', 'launch', 'scripts', 'setup.py')]
TESTS = str(ROOT / 'test')
#: Of pydocstyle, without what the convention of Google leaves open (see pyproject.toml).
NUMBERS = (105, 107, 203, 204, 213, 215, 400, 401, 403, 404, 406, 407, 408, 409, 413)
IGNORED = [f'D{number}' for number in NUMBERS]
#: ament_copyright knows long licence headers only, not those of SPDX, so this is its stand-in.
HEADER = '# Copyright 2026 The caldiff_ros authors\n# SPDX-License-Identifier: Apache-2.0\n'


#: What package.xml is checked against, by way of the network.
SCHEMA = 'http://download.ros.org/schema/package_format3.xsd'


def run(linter: str, *arguments: str, install: str) -> None:
    """Run a linter in a process of its own.

    It may fork, which must not happen beside the threads of DDS and torch of other tests.
    """
    pytest.importorskip(
        f'{linter}.main', reason=f'{linter} cannot be imported; {install}', exc_type=ImportError
    )
    code = f'import sys; from {linter}.main import main; sys.exit(main())'
    result = subprocess.run(
        [sys.executable, '-c', code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,  # which patterns of files are relative to
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_flake8():
    config = str(Path(__file__).with_name('flake8.ini'))
    run(
        'ament_flake8', '--config', config, *CODE, TESTS,
        install='pip install ros-kilted-ament-flake8 flake8-docstrings',
    )  # fmt: skip


def test_pep257():
    run(
        'ament_pep257', *CODE, '--ignore', *IGNORED,
        install='pip install ros-kilted-ament-pep257 pydocstyle',
    )  # fmt: skip


def test_xmllint():
    try:
        urllib.request.urlopen(SCHEMA, timeout=5).close()
    except OSError:
        pytest.skip(f'{SCHEMA} cannot be fetched from here')
    run('ament_xmllint', str(ROOT / 'package.xml'), install='a ROS distribution has it')


def test_flake8_and_pep257_pass_over_the_same_rules():
    ini = Path(__file__).with_name('flake8.ini').read_text()
    [ignored] = [line for line in ini.splitlines() if line.startswith('extend-ignore')]
    assert set(IGNORED) <= set(ignored.split('=')[1].strip().split(','))


def test_every_file_has_the_copyright():
    files = [path for name in [*CODE, TESTS] for path in Path(name).rglob('*.py')]
    assert len(files) > 100
    without = [str(path) for path in files if not path.read_text().startswith(HEADER)]
    assert without == []
