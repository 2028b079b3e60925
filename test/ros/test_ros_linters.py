# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The linters of ament, where a ROS distribution has them; `make lint` runs ruff everywhere."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = [str(ROOT / name) for name in ('caldiff_ros', 'launch', 'scripts', 'setup.py')]
TESTS = str(ROOT / 'test')
#: Of pydocstyle, without what the convention of Google leaves open (see pyproject.toml).
NUMBERS = (105, 107, 203, 204, 213, 215, 400, 401, 404, 406, 407, 408, 409, 413)
IGNORED = [f'D{number}' for number in NUMBERS]
#: ament_copyright knows long licence headers only, not those of SPDX, so this is its stand-in.
HEADER = '# Copyright 2026 The caldiff_ros authors\n# SPDX-License-Identifier: Apache-2.0\n'


def linter(name: str):
    reason = f'{name} cannot be imported: it is not on PyPI, a ROS distribution has it'
    return pytest.importorskip(f'{name}.main', reason=reason)


def test_flake8():
    config = str(Path(__file__).with_name('flake8.ini'))
    assert linter('ament_flake8').main(argv=['--config', config, *CODE, TESTS]) == 0


def test_pep257():
    assert linter('ament_pep257').main(argv=[*CODE, '--ignore', *IGNORED]) == 0


def test_xmllint():
    assert linter('ament_xmllint').main(argv=[str(ROOT / 'package.xml')]) == 0


def test_every_file_has_the_copyright():
    files = [path for name in [*CODE, TESTS] for path in Path(name).rglob('*.py')]
    assert len(files) > 100
    without = [str(path) for path in files if not path.read_text().startswith(HEADER)]
    assert without == []
