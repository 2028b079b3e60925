# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SuperSplat's compressed .ply: chunks of 256 Gaussians, each quantized within its chunk's range.

The element 'chunk' holds the ranges of positions and log-scales and, in newer files, of colours;
'vertex' four 32-bit words a Gaussian; 'sh', if there, a byte for every f_rest of 3DGS.
"""

from __future__ import annotations

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.nerf.splat_kernels import SH0
from caldiff_ros.splats.gaussian_ply import empty_splat, rest_columns, terms_of, trained_antialiased
from caldiff_ros.splats.ply import PlyFile
from caldiff_ros.splats.quantized import LOGITS, with_largest
from caldiff_ros.splats.splat import Splat

_CHUNK = 256
_PACKED = ('packed_position', 'packed_rotation', 'packed_scale', 'packed_color')
_POSITIONS, _SCALES = ('x', 'y', 'z'), ('scale_x', 'scale_y', 'scale_z')
_COLORS = ('r', 'g', 'b')
#: Bits of the three numbers in a word of positions or scales, and where they start.
_BITS_11_10_11 = ((21, 11), (11, 10), (0, 11))


def is_compressed(ply: PlyFile) -> bool:
    """Whether a file is one."""
    vertex = ply.elements.get('vertex')
    return vertex is not None and _PACKED[0] in vertex.types


def read_compressed_ply(ply: PlyFile) -> Splat:
    """The Gaussians of a file.

    Raises:
        CaldiffError: if an element is missing or too short.
    """
    sh, n = ply.elements.get('sh'), ply.elements['vertex'].count
    _check(ply, n)

    terms = 1 if sh is None else terms_of(len(sh.types), ply)
    splat = empty_splat(n, terms, trained_antialiased(ply.comments))
    chunks = np.concatenate([block for _, block in ply.blocks('chunk')]) if n else np.empty(0)
    for rows, block in ply.blocks('vertex'):
        _unpack(splat[rows], block, chunks[rows.start // _CHUNK :])

    if sh is not None and sh.types:  # gsplat writes it empty without harmonics
        columns = rest_columns(splat, terms)
        for rows, block in ply.blocks('sh'):
            for target, name in columns:
                target[rows] = _harmonic(block[name])

    return splat


def _check(ply: PlyFile, n: int) -> None:
    expected = {'chunk': -(-n // _CHUNK), 'vertex': n, 'sh': n}
    bounds = [f'{end}_{axis}' for axis in (*_POSITIONS, *_SCALES) for end in ('min', 'max')]
    named = {'chunk': bounds, 'vertex': _PACKED, 'sh': ()}

    for name, properties in named.items():
        element = ply.elements.get(name)
        if element is None and name == 'sh':
            continue
        if (
            element is None
            or element.count != expected[name]
            or not {*properties} <= element.types.keys()
        ):
            raise CaldiffError(
                f'{ply.path} has not {expected[name]} rows of "{name}" with the properties of a '
                'compressed splat, expected them as SuperSplat writes them; export it again'
            )


def _unpack(splat: Splat, block: np.ndarray, chunks: np.ndarray) -> None:
    """Write Gaussians, the first of which begins a chunk, into views of a splat."""
    chunk = np.arange(len(block)) // _CHUNK
    position, rotation, scale, color = (block[name].astype(np.uint32) for name in _PACKED)

    def dequantized(share: np.ndarray, axis: str) -> np.ndarray:
        low, high = chunks[f'min_{axis}'][chunk], chunks[f'max_{axis}'][chunk]
        return low + share * (high - low)

    for i, (shift, bits) in enumerate(_BITS_11_10_11):
        splat.means[:, i] = dequantized(_share(position, shift, bits), _POSITIONS[i])
        splat.log_scales[:, i] = dequantized(_share(scale, shift, bits), _SCALES[i])

    for channel, name in enumerate(_COLORS):
        share = _share(color, 24 - 8 * channel, 8)
        if f'min_{name}' in (chunks.dtype.names or ()):
            share = dequantized(share, name)
        splat.harmonics[:, 0, channel] = (share - 0.5) / SH0

    splat.logits[:] = LOGITS[color & 255]
    splat.quaternions[:] = _quaternions(rotation)


def _share(words: np.ndarray, shift: int, bits: int) -> np.ndarray:
    """Bits of words (N,) as numbers from 0 to 1."""
    most = (1 << bits) - 1
    return ((words >> np.uint32(shift)) & np.uint32(most)) / np.float32(most)


def _quaternions(words: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4), w first: the largest number is left out, and which it is comes first."""
    others = np.stack([_share(words, shift, 10) for shift in (20, 10, 0)], axis=1)
    others = (others - np.float32(0.5)) * np.float32(2**0.5)

    return with_largest(others, words >> np.uint32(30))


def _harmonic(values: np.ndarray) -> np.ndarray:
    """Bytes as harmonics from -4 to 4: the middles of 256 steps, but for the two ends."""
    value = (values.astype(np.float32) + 0.5) / 32 - 4
    return np.where(values == 0, -4, np.where(values == 255, 4, value))
