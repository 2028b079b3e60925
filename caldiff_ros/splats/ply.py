# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Elements of a .ply file of scalar properties: binary of either byte order, or ASCII."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError

#: Rows that are in memory at once; a multiple of 256, the chunk of compressed files.
BLOCK = 1 << 16
_MOST_HEADER_LINES = 2000
_LONGEST_LINE = 4096
_BYTE_ORDERS = {'binary_little_endian': '<', 'binary_big_endian': '>', 'ascii': ''}
_TYPES = {
    **{'char': 'i1', 'uchar': 'u1', 'short': 'i2', 'ushort': 'u2', 'int': 'i4', 'uint': 'u4'},
    **{'float': 'f4', 'double': 'f8'},
    **{'int8': 'i1', 'uint8': 'u1', 'int16': 'i2', 'uint16': 'u2', 'int32': 'i4', 'uint32': 'u4'},
    **{'float32': 'f4', 'float64': 'f8'},
}


@dataclass(frozen=True)
class Element:
    """One kind of rows.

    Attributes:
        count: how many there are.
        types: of its properties by name, as the file has them; None for a list.
    """

    count: int
    types: dict[str, str | None]


@dataclass(frozen=True)
class PlyFile:
    """A file whose header was read.

    Attributes:
        path: where it is.
        format: 'binary_little_endian', 'binary_big_endian' or 'ascii'.
        elements: by name, in the order of the file.
        comments: of the header.
        offset: bytes before the first row.
    """

    path: Path
    format: str
    elements: dict[str, Element]
    comments: tuple[str, ...]
    offset: int

    @classmethod
    def open(cls, path: Path) -> PlyFile:
        """Read the header.

        Raises:
            CaldiffError: if it is damaged.
        """
        with path.open('rb') as file:
            try:
                ply = _parsed(path, file)
            except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
                raise CaldiffError(
                    f'the header of {path} is damaged ({error}), expected that of a .ply file; '
                    'export it again'
                ) from error

        if path.stat().st_size - ply.offset < ply._least_size():
            raise ply._truncated()

        return ply

    def _least_size(self) -> int:
        """Bytes that the rows take at least."""
        size = -1 if self.format == 'ascii' else 0  # its last line may lack an end
        for element in self.elements.values():
            if self.format == 'ascii':
                size += 2 * element.count * len(element.types)  # a digit and a space
            else:
                size += element.count * sum(int(kind[1]) for kind in element.types.values() if kind)

        return size

    def _truncated(self) -> CaldiffError:
        return CaldiffError(
            f'{self.path} ends or is damaged before the rows end that its header promises, '
            'expected the whole file; copy or export it again'
        )

    def blocks(self, name: str) -> Iterator[tuple[slice, np.ndarray]]:
        """The rows of an element, some at a time, as structured arrays.

        Args:
            name: the element; those before it hold no lists.

        Yields:
            Which rows they are, and the rows.

        Raises:
            CaldiffError: if the file ends before they do.
        """
        with self.path.open('rb') as file:
            file.seek(self.offset)
            for earlier in self.elements:
                element = self.elements[earlier]
                for start in range(0, element.count, BLOCK):
                    n = min(BLOCK, element.count - start)
                    rows = self._read(file, element, n)
                    if earlier == name:
                        yield slice(start, start + n), rows
                if earlier == name:
                    return

    def _read(self, file: BufferedReader, element: Element, n: int) -> np.ndarray:
        """The next rows."""
        order = _BYTE_ORDERS[self.format]
        if None in element.types.values():
            raise CaldiffError(
                f'{self.path} holds lists before its Gaussians, expected these first; export it '
                'again'
            )

        if self.format == 'ascii':
            return self._read_text(file, element, n)

        dtype = np.dtype([(name, f'{order}{kind}') for name, kind in element.types.items()])
        return np.fromfile(file, dtype, n)

    def _read_text(self, file: BufferedReader, element: Element, n: int) -> np.ndarray:
        size = n * len(element.types)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('error', DeprecationWarning)  # older NumPy's of other text
                values = np.fromfile(file, np.float64, size, sep=' ')
        except (ValueError, DeprecationWarning) as error:
            raise self._truncated() from error
        if len(values) < size:
            raise self._truncated()

        return values.view([(name, 'f8') for name in element.types])


def _parsed(path: Path, file: BufferedReader) -> PlyFile:
    lines: list[str] = []
    while not lines or lines[-1] != 'end_header':
        read = file.readline(_LONGEST_LINE)
        if not read.endswith(b'\n') or len(lines) == _MOST_HEADER_LINES:
            raise ValueError('it has no end')
        lines.append(read.decode('ascii', 'replace').strip())

    kind, comments = '', []
    elements: dict[str, Element] = {}
    current = Element(0, {})
    for line in lines[1:-1]:
        word, _, rest = line.partition(' ')
        words = rest.split()
        if word == 'format':
            kind = words[0]
        elif word == 'comment':
            comments.append(rest.strip())
        elif word == 'element':
            current = elements[words[0]] = Element(int(words[1]), {})
            if current.count < 0:
                raise ValueError(f'it has {current.count} rows')
        elif word == 'property':
            if words[-1] in current.types:
                raise ValueError(f'{words[-1]} is there twice')
            current.types[words[-1]] = None if words[0] == 'list' else _TYPES[words[0]]

    if kind not in _BYTE_ORDERS:
        raise ValueError(f'its format is {kind!r}')

    return PlyFile(path, kind, elements, tuple(comments), file.tell())
