# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Loops compiled for this processor by Numba, once, and kept for later processes."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from caldiff_ros.errors import CaldiffError

try:
    import numba
except ImportError as error:
    _missing: ImportError | None = error
else:
    _missing = None

logger = logging.getLogger(__name__)

_Function = TypeVar('_Function', bound=Callable[..., Any])

#: NaN keeps its meaning: kernels must not mistake a broken Gaussian for a visible one.
_FAST_MATH = {'contract', 'reassoc', 'nsz', 'arcp', 'afn'}


def compiled(function: _Function) -> _Function:
    """Compile a function when it is first called; it then runs without Python's lock.

    The result is kept beside the source, or in the user's cache folder where that cannot be
    written; where neither can be, every process compiles for itself.
    """
    if _missing is not None:
        return _unavailable(function)

    jit = functools.partial(numba.njit, nogil=True, error_model='numpy', fastmath=_FAST_MATH)
    try:
        return cast(_Function, jit(cache=True)(function))
    except RuntimeError:  # no folder can be written
        _say_uncached()
        return cast(_Function, jit()(function))


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether an earlier process has kept what `compiled` made of a function."""
    stats = getattr(function, 'stats', None)
    folder = getattr(stats, 'cache_path', None)
    if folder is None:
        return False

    module = function.__module__.rpartition('.')[2]
    return any(Path(folder).glob(f'{module}.{function.__name__}-*.nbi'))


def _unavailable(function: _Function) -> _Function:
    @functools.wraps(function)
    def refuse(*args: object, **kwargs: object) -> None:
        raise CaldiffError(
            f'Numba cannot be imported ({_missing}), but is required to render on a CPU; install '
            'it with pip install numba, or use a platform that it supports'
        )

    return refuse  # type: ignore[return-value]


@functools.cache
def _say_uncached() -> None:
    logger.warning(
        'no folder for compiled kernels is writable, so they are compiled at every start; set '
        'NUMBA_CACHE_DIR to a writable one'
    )
