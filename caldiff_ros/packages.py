# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Packages that only some verbs need."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from types import ModuleType

from caldiff_ros.errors import CaldiffError


def package(name: str, extra: str) -> ModuleType:
    """Import a package that not every user has.

    Args:
        name: the module.
        extra: what to install to have it, as pyproject.toml names it.

    Raises:
        CaldiffError: if it is not installed.
    """
    try:
        with quiet():
            return importlib.import_module(name)
    except ImportError as error:
        raise CaldiffError(
            f'the package {name.partition(".")[0]} is required for this but not installed; '
            f'pip install "caldiff_ros[{extra}]"'
        ) from error


def load_pycolmap(extra: str) -> ModuleType:
    """COLMAP, silent: what goes wrong is raised.

    Args:
        extra: see `package`.
    """
    pycolmap = package('pycolmap', extra)
    pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value
    return pycolmap


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what other packages print and warn of to ourselves."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter('ignore')
        yield
