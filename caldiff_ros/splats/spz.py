# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Niantic's .spz, versions 1 to 4.

Up to version 3 the file is one gzip stream; version 4 has a plain header and one Zstandard stream
for each property. The specification says that the axes are right, up and back (y is up and z to the
viewer), unlike those of .ply, which are those of the training cameras. But its own converters, like
SuperSplat and gsply, copy the numbers as they are, so nothing in the file tells which was meant:
here, too, they are as in the file. A vendor's extensions are skipped.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.packages import package
from caldiff_ros.splats.gaussian_ply import empty_splat
from caldiff_ros.splats.ply import BLOCK
from caldiff_ros.splats.quantized import LOGITS, with_largest
from caldiff_ros.splats.splat import Splat

GZIP, MAGIC = b'\x1f\x8b', b'NGSP'
_NEWEST, _FIRST_OF_STREAMS, _FIRST_OF_SMALLEST_THREE = 4, 4, 3
ANTIALIASED = 1
_MOST_DEGREE = 4
#: Numbers of Gaussians that would be compressed better than this are damaged.
_MOST_COMPRESSION = 1024
#: Of the constant harmonic; wider than colours, as it may be beyond them.
COLOR_SCALE = 0.15


@dataclass(frozen=True)
class _Header:
    """What both containers begin with."""

    magic: bytes
    version: int
    count: int
    sh_degree: int
    fractional_bits: int
    flags: int
    streams: int

    @property
    def terms(self) -> int:
        return (self.sh_degree + 1) ** 2

    @property
    def widths(self) -> dict[str, int]:
        """Bytes a Gaussian of each property, in the order of the file."""
        return {
            'positions': 6 if self.version == 1 else 9,
            'opacities': 1,
            'colors': 3,
            'scales': 3,
            'rotations': 4 if self.version >= _FIRST_OF_SMALLEST_THREE else 3,
            'harmonics': 3 * (self.terms - 1),
        }

    @property
    def size(self) -> int:
        """Bytes of all Gaussians."""
        return self.count * sum(self.widths.values())


def read_spz(path: Path) -> Splat:
    """The Gaussians of a file; harmonics of degree 4 are left out.

    Raises:
        CaldiffError: if it is damaged, or of a version that is not known.
    """
    content = path.read_bytes()
    header, packed = (_of_gzip if content.startswith(GZIP) else _of_streams)(path, content)
    # converters leave the flag unset where they know nothing
    antialiased = True if header.flags & ANTIALIASED else None
    splat = empty_splat(header.count, header.terms, antialiased)
    for start in range(0, header.count, BLOCK):
        rows = slice(start, start + BLOCK)
        block = {name: values[rows] for name, values in packed.items()}
        _unpack(splat[rows], block, header)

    return splat


def is_gzipped_spz(content: bytes) -> bool:
    """Whether a gzip stream that begins like this is one of .spz."""
    try:
        return zlib.decompressobj(31).decompress(content, len(MAGIC)) == MAGIC
    except zlib.error:
        return False


def _header(path: Path, content: bytes) -> _Header:
    if len(content) < 16:
        raise _damaged(path)

    header = _Header(*struct.unpack_from('<4sIIBBBB', content))
    if header.version > _NEWEST or header.version < 1:
        raise CaldiffError(
            f'{path} is of version {header.version} of .spz, expected 1 to {_NEWEST}; export it as '
            '.ply, or update caldiff_ros'
        )
    if header.sh_degree > _MOST_DEGREE or header.fractional_bits > 24:
        raise _damaged(path)

    return header


def _of_gzip(path: Path, content: bytes) -> tuple[_Header, dict[str, np.ndarray]]:
    """Header, and bytes (N, width) of each property, of versions 1 to 3."""
    stream = zlib.decompressobj(31)
    try:
        header = _header(path, stream.decompress(content, 16))
        if header.version >= _FIRST_OF_STREAMS:
            raise _damaged(path)
        # no more than promised, so that no small file can fill the memory
        packed = stream.decompress(stream.unconsumed_tail, max(1, header.size))
    except zlib.error as error:
        raise _damaged(path) from error

    if len(packed) < header.size:
        raise _damaged(path)

    parts, start = {}, 0
    for name, width in header.widths.items():
        end = start + width * header.count
        parts[name] = np.frombuffer(packed, np.uint8)[start:end].reshape(header.count, width)
        start = end

    return header, parts


def _of_streams(path: Path, content: bytes) -> tuple[_Header, dict[str, np.ndarray]]:
    """The same of version 4."""
    header = _header(path, content)
    widths = {name: width for name, width in header.widths.items() if width}
    most = len(content) * _MOST_COMPRESSION
    if header.version < _FIRST_OF_STREAMS or header.streams != len(widths) or header.size > most:
        raise _damaged(path)

    zstandard = package('zstandard', 'splats')
    parts = {'harmonics': np.empty((header.count, 0), np.uint8)}
    try:
        table = struct.unpack_from('<I', content, 16)[0]
        start = table + 16 * header.streams
        for i, (name, width) in enumerate(widths.items()):
            packed, size = struct.unpack_from('<QQ', content, table + 16 * i)
            if size != width * header.count or start + packed > len(content):
                raise _damaged(path)
            stream = zstandard.ZstdDecompressor().stream_reader(content[start : start + packed])
            # no more than promised, as above
            values = np.frombuffer(stream.read(size), np.uint8)
            parts[name] = values.reshape(header.count, width)
            start += packed
    except (struct.error, ValueError, zstandard.ZstdError) as error:
        raise _damaged(path) from error

    return header, parts


def _damaged(path: Path) -> CaldiffError:
    return CaldiffError(
        f'{path} is damaged or ends early, expected a whole .spz; copy or export it again'
    )


def _unpack(splat: Splat, block: dict[str, np.ndarray], header: _Header) -> None:
    """Write Gaussians into views of a splat."""
    K = splat.harmonics.shape[1]
    rest = block['harmonics'].reshape(len(splat), header.terms - 1, 3)[:, : K - 1]

    splat.means[:] = _positions(block['positions'], header)
    splat.logits[:] = LOGITS[block['opacities'][:, 0]]
    splat.log_scales[:] = block['scales'] / np.float32(16) - 10
    splat.harmonics[:, 0] = (block['colors'] / np.float32(255) - 0.5) / COLOR_SCALE
    splat.harmonics[:, 1:] = (rest - np.float32(128)) / 128
    three = header.version < _FIRST_OF_SMALLEST_THREE
    splat.quaternions[:] = (_first_three if three else _smallest_three)(block['rotations'])


def _positions(values: np.ndarray, header: _Header) -> np.ndarray:
    """Half precision in version 1, then 24 bits of fixed point."""
    values = np.ascontiguousarray(values)
    if header.version == 1:
        return values.view('<f2').astype(np.float32)

    words = np.zeros((len(values), 3, 4), np.uint8)
    words[..., 1:] = values.reshape(-1, 3, 3)
    fixed = words.view('<i4')[..., 0] >> 8  # the sign comes along
    return fixed / np.float32(1 << header.fractional_bits)


def _first_three(values: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4), w first and positive, of bytes x, y, z."""
    xyz = values / np.float32(127.5) - 1
    w = np.sqrt(np.maximum(0, 1 - (xyz**2).sum(axis=1, keepdims=True)))
    return np.hstack([w, xyz])


def _smallest_three(values: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4), w first: of x, y, z, w all but the largest, nine bits and a sign each."""
    words = np.ascontiguousarray(values).view('<u4')[:, 0]
    others = np.empty((len(words), 3), np.float32)
    for i in range(3):
        part = words >> np.uint32(10 * (2 - i))
        size = (part & np.uint32(511)) / np.float32(511 * 2**0.5)
        others[:, i] = np.where(part & np.uint32(512), -size, size)

    return with_largest(others, words >> np.uint32(30))[:, [3, 0, 1, 2]]
