# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Words of messages."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """``n`` of something as people write it: '1 image', '0 images', '2 images'.

    Args:
        n: how many.
        noun: what, in the singular.
        plural: where an s does not make it.
    """
    return f'{n} {noun}' if n == 1 else f'{n} {plural or noun + "s"}'
