# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussians to files that viewers of splats read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.splats.gaussian_ply import CONSTANT, POSITION, QUATERNION, SCALES
from caldiff_ros.splats.ply import BLOCK
from caldiff_ros.splats.replacing import replacing
from caldiff_ros.splats.splat import Splat
from caldiff_ros.splats.spz_writing import write_spz

_NORMAL = ('nx', 'ny', 'nz')


def write_splat(splat: Splat, path: str | Path) -> None:
    """Write a .ply or .spz, as the name says; a file there is replaced when the new one is whole.

    Raises:
        CaldiffError: if the name has another ending, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise CaldiffError(
            f'the file to write is {path}, expected a name that ends in .ply or .spz; give one'
        )

    _WRITERS[path.suffix.lower()](splat, path)


def write_ply(splat: Splat, path: Path) -> None:
    """Write the layout of INRIA's code, with normals of zero.

    Whether the Gaussians are anti-aliased is said in a comment, in Brush's words, which SuperSplat
    understands too.

    Raises:
        CaldiffError: if it cannot be written.
    """
    with replacing(path) as file:
        file.write(_header(splat).encode())
        for start in range(0, len(splat), BLOCK):
            file.write(_rows(splat[start : start + BLOCK]).tobytes())


def _header(splat: Splat) -> str:
    n_rest = 3 * (splat.harmonics.shape[1] - 1)
    rest = [f'f_rest_{i}' for i in range(n_rest)]
    names = [*POSITION, *_NORMAL, *CONSTANT, *rest, 'opacity', *SCALES, *QUATERNION]
    mode = 'mip' if splat.antialiased else 'default'
    lines = [
        'ply',
        'format binary_little_endian 1.0',
        *([] if splat.antialiased is None else [f'comment SplatRenderMode: {mode}']),
        f'element vertex {len(splat)}',
        *(f'property float {name}' for name in names),
        'end_header',
    ]
    return '\n'.join(lines) + '\n'


def _rows(splat: Splat) -> np.ndarray:
    """Gaussians as the file has them, (N, number of properties) float32."""
    n = len(splat)
    rest = splat.harmonics[:, 1:].transpose(0, 2, 1).reshape(n, -1)
    return np.hstack(
        [
            *(splat.means, np.zeros((n, 3)), splat.harmonics[:, 0], rest),
            *(splat.logits[:, None], splat.log_scales, splat.quaternions),
        ]
    ).astype('<f4')


_WRITERS = {'.ply': write_ply, '.spz': write_spz}
