# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Results on disk."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from caldiff_ros.errors import CaldiffError


def write_json(path: Path, content: Any) -> None:
    """Replace a file, or leave it as it was; numbers that are not finite become null.

    Raises:
        CaldiffError: if it cannot be written.
    """
    write_text(path, json.dumps(_as_json(content), indent=2, allow_nan=False) + '\n')


def write_text(path: Path, text: str) -> None:
    """Replace a file, or leave it as it was.

    Raises:
        CaldiffError: if it cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file, or leave it as it was.

    Raises:
        CaldiffError: if it cannot be written.
    """
    partial = path.with_name(f'.{path.name}.partial')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise CaldiffError(
            f'{path.parent} cannot be written ({error.strerror}), expected a folder with free '
            'space; give another --output'
        ) from error


def read_json(path: Path) -> Any:
    """The content of a file that `write_json` wrote; None if there is no such file.

    Raises:
        CaldiffError: if it is no JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CaldiffError(
            f'{path} cannot be read ({error}), expected results of an earlier run; delete it'
        ) from error


def _as_json(value: object) -> object:
    """Arrays as lists, numbers that are not finite as None."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _as_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None

    return value
