# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Threads of our own for what releases Python's lock, compiled kernels above all.

Any number of callers may use them at once, which Numba's own threading layers do not all allow, and
callers give the number of threads, so that ``torch.set_num_threads`` counts.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

_T = TypeVar('_T')


@functools.cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix='kernels')


def in_parallel(work: Callable[..., _T], arguments: Sequence[tuple], n_threads: int) -> list[_T]:
    """Call ``work`` with each tuple of arguments, on ``n_threads`` threads, this one among them.

    What a call raises ends the others that have not begun.
    """
    if n_threads == 1 or len(arguments) == 1:
        return [work(*each) for each in arguments]

    ahead = iter(range(len(arguments)))
    results: list[Any] = [None] * len(arguments)

    def take() -> None:
        for i in ahead:
            try:
                results[i] = work(*arguments[i])
            except BaseException:
                list(ahead)  # nobody takes any of these
                raise

    n_helpers = min(n_threads, len(arguments)) - 1
    helpers = [_pool(n_threads - 1).submit(take) for _ in range(n_helpers)]
    try:
        take()
    finally:
        # one that has not begun, because others are rendering as well, would find nothing to do
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)

    for helper in begun:
        helper.result()
    return results


def ranges(n: int, count: int) -> list[tuple[int, int]]:
    """``count`` ranges of about the same length that cover ``n`` things."""
    ends = [n * i // count for i in range(count + 1)]
    return list(itertools.pairwise(ends))
