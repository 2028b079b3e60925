# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Help texts of options without the line breaks of the source.

tyro takes the text under a field with its indented continuation lines, and would break the lines of
the help there. Texts in the docstring of the class have precedence.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any

from caldiff_ros.docstrings import field_docstrings


@contextmanager
def unwrapped_field_help(arguments: type) -> Iterator[None]:
    """Have the text of every field, in one line each, in the docstrings of dataclasses meanwhile.

    Args:
        arguments: a dataclass; the dataclasses that its fields hold are meant too.
    """
    originals = {cls: cls.__doc__ for cls in _dataclasses(arguments)}
    try:
        for cls, doc in originals.items():
            rows = [f'    {name}: {text}' for name, text in field_docstrings(cls).items()]
            if rows:
                cls.__doc__ = '\n'.join([(doc or '').rstrip(), '', 'Attributes:', *rows])
        yield
    finally:
        for cls, doc in originals.items():
            cls.__doc__ = doc


def _dataclasses(hint: Any) -> Iterator[type]:
    """The dataclasses in a type, with those that they inherit from and those of their fields."""
    for argument in typing.get_args(hint):
        yield from _dataclasses(argument)

    if isinstance(hint, type) and is_dataclass(hint):
        yield from (cls for cls in hint.__mro__ if is_dataclass(cls))
        for field_hint in typing.get_type_hints(hint, include_extras=True).values():
            yield from _dataclasses(field_hint)
