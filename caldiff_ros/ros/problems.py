# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Words for errors that nobody foresaw; those that were have a sentence of their own."""

from __future__ import annotations


def describe_exception(error: Exception) -> str:
    """Kind and text of an error, in one line."""
    return f'{type(error).__name__}: {" ".join(str(error).split())}'
