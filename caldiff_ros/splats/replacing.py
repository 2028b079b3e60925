# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are there as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from caldiff_ros.errors import CaldiffError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file to write to, which takes the place of a file once all is written.

    Args:
        path: the file, which may be there.

    Raises:
        CaldiffError: if it cannot be written; what was there stays.
    """
    partial = path.with_name(f'.{path.name}.partial')
    try:
        with partial.open('wb') as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise CaldiffError(
            f'{path} cannot be written ({error.strerror}), expected a folder with free space; give '
            'another file'
        ) from error
    finally:
        partial.unlink(missing_ok=True)
