# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""docs/api.md says what the code says."""

import runpy
from pathlib import Path

import pytest

import caldiff_ros

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='module')
def script() -> dict:
    return runpy.run_path(str(ROOT / 'scripts/api_docs.py'))


def test_the_page_is_current(script):
    assert (ROOT / 'docs/api.md').read_text() == script['page'](), 'run `make docs`'


def test_every_public_name_has_its_entry(script):
    named = [name for names in script['SECTIONS'].values() for name in names]
    assert sorted([*named, '__version__']) == sorted(caldiff_ros.__all__)


def test_a_docstring_becomes_lists(script):
    def example() -> None:
        """Does this.

        Args:
            first, second: of two
                lines.

        Returns:
            Nothing.

        Raises:
            CaldiffError: never.
        """

    assert script['_markdown'](example) == (
        'Does this.\n\n'
        'Arguments:\n\n* `first, second`: of two\n  lines.\n\n'
        'Returns:\n\nNothing.\n\n'
        'Raises:\n\n* `CaldiffError`: never.\n'
    )


def test_a_signature_breaks_where_it_is_long(script):
    def short(n: int, *, flag: bool = False) -> str: ...

    short.__annotations__ = {'n': 'int', 'flag': 'bool', 'return': 'str'}
    signature = script['_signature']
    assert signature('short', short) == (
        '```python\nshort(n: int, *, flag: bool = False) -> str\n```\n'
    )
    name = 'long_' * 15
    assert signature(name, short).splitlines()[1:] == [
        f'{name}(', '    n: int,', '    *,', '    flag: bool = False,', ') -> str', '```',
    ]  # fmt: skip
