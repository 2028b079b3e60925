# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussians to .spz, a fifth of the size of .ply and in bytes as coarse as `spz` says."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.splats.quantized import places_of_others
from caldiff_ros.splats.replacing import replacing
from caldiff_ros.splats.splat import Splat
from caldiff_ros.splats.spz import ANTIALIASED, COLOR_SCALE, MAGIC

#: The newest that needs no Zstandard, neither here nor in viewers.
_VERSION = 3
_MOST_FRACTIONAL_BITS = 24
#: Half of what 23 bits and a sign can hold, so that nothing is rounded beyond that.
_FARTHEST = 1 << 22


def write_spz(splat: Splat, path: Path) -> None:
    """Write version 3, with positions as fine as 24 bits allow.

    The axes are as they are, as those of .ply would be.

    Raises:
        CaldiffError: if it cannot be written, or a number is not finite.
    """
    bits = _fractional_bits(float(np.abs(splat.means).max()))
    flags = ANTIALIASED if splat.antialiased else 0
    header = struct.pack('<4sIIBBBB', MAGIC, _VERSION, len(splat), splat.sh_degree, bits, flags, 0)
    opacities = 255 / (1 + np.exp(-splat.logits))
    with replacing(path) as file, gzip.GzipFile('', 'wb', fileobj=file, mtime=0) as packed:
        packed.write(header)
        packed.write(_fixed_point(splat.means, bits))
        packed.write(_bytes(opacities))
        packed.write(_bytes((splat.harmonics[:, 0] * COLOR_SCALE + 0.5) * 255))
        packed.write(_bytes((splat.log_scales + 10) * 16))
        packed.write(_smallest_three(splat.quaternions))
        packed.write(_bytes(splat.harmonics[:, 1:] * 128 + 128))


def _fractional_bits(reach: float) -> int:
    """As many as leave room for coordinates up to ``reach``."""
    if not reach < _FARTHEST:
        raise CaldiffError(
            f'the Gaussians reach {reach} from the origin, expected less than {_FARTHEST} for '
            '.spz; write a .ply'
        )

    room = _FARTHEST / max(reach, _FARTHEST / (1 << _MOST_FRACTIONAL_BITS))
    return int(np.log2(room))


def _bytes(values: np.ndarray) -> bytes:
    return np.rint(values).clip(0, 255).astype(np.uint8).tobytes()


def _fixed_point(means: np.ndarray, bits: int) -> bytes:
    fixed = np.rint(means.astype(np.float64) * (1 << bits)).astype('<i4')
    return fixed[..., None].view(np.uint8)[..., :3].tobytes()


def _smallest_three(quaternions: np.ndarray) -> bytes:
    """See `spz`: the largest of x, y, z, w is made positive and left out."""
    xyzw = quaternions[:, [1, 2, 3, 0]]
    which = np.abs(xyzw).argmax(axis=1)
    rows = np.arange(len(xyzw))
    xyzw = xyzw * np.where(xyzw[rows, which] < 0, -1, 1)[:, None]
    others = xyzw[rows[:, None], places_of_others(which)]

    sizes = np.rint(np.abs(others) * 2**0.5 * 511).clip(0, 511).astype('<u4')
    parts = sizes | (others < 0).astype('<u4') << 9
    words = which.astype('<u4') << 30 | parts[:, 0] << 20 | parts[:, 1] << 10 | parts[:, 2]
    return words.astype('<u4').tobytes()
