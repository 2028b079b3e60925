# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Help texts have the line breaks of the terminal, not those of the source."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from caldiff_ros.cli.field_help import unwrapped_field_help


@dataclass
class Inner:
    """An inner one."""

    size: int = 1
    """Its size, in
    two lines."""


@dataclass
class Outer:
    """An outer one."""

    inner: tuple[Inner, ...] | None = None
    """What it
    holds."""
    plain: list[int] = field(default_factory=list)


def test_texts_are_in_the_docstrings_meanwhile():
    with pytest.raises(SystemExit), unwrapped_field_help(Outer):
        assert Outer.__doc__ == 'An outer one.\n\nAttributes:\n    inner: What it holds.'
        assert Inner.__doc__.endswith('\n    size: Its size, in two lines.')
        raise SystemExit
    assert (Outer.__doc__, Inner.__doc__) == ('An outer one.', 'An inner one.')


@pytest.mark.parametrize('verb', ['build-map', 'capture'])
def test_lines_of_the_help_are_filled(verb):
    result = subprocess.run(
        [sys.executable, '-m', 'caldiff_ros.cli', verb, '--help'],
        env={**os.environ, 'COLUMNS': '80', 'PYTHONIOENCODING': 'utf-8'},
        capture_output=True,
        encoding='utf-8',
        check=True,
    )
    assert '--camera' in result.stdout and 'Attributes' not in result.stdout
    boxed = [line for line in result.stdout.splitlines() if line.startswith('│')]
    assert {len(line) for line in boxed} == {80}
    cut = []
    for line, following in pairwise(boxed):
        text, words = line.rstrip('│ '), following.strip('│ ').split()
        of_a_text = not text.strip('│ ').startswith('-') and words and words[0].isalpha()
        if of_a_text and text[-1].isalnum() and len(text) + 1 + len(words[0]) <= 80 - len(' │'):
            cut.append((text, words))
    assert cut == []
