# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The .splat of antimatter15's viewer: 32 bytes a Gaussian, without a header.

Position and scale are three float32 each, the scale no logarithm; then come red, green, blue and
opacity, a byte each, and a byte for each number of the quaternion, w first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.nerf.splat_kernels import SH0
from caldiff_ros.splats.gaussian_ply import empty_splat
from caldiff_ros.splats.ply import BLOCK
from caldiff_ros.splats.quantized import LOGITS
from caldiff_ros.splats.splat import Splat

_ROW = np.dtype(
    [('mean', '<f4', 3), ('scale', '<f4', 3), ('rgba', 'u1', 4), ('quaternion', 'u1', 4)]
)
#: Rows that are read to recognize the format, which has no signature, and how many of them
#: must have a quaternion of nearly norm 1.
_LOOKED_AT, _LEAST_UNIT = 1000, 0.95


def is_antimatter(path: Path) -> bool:
    """Whether the content of a file can be of this format."""
    size = path.stat().st_size
    if size == 0 or size % _ROW.itemsize:
        return False

    rows = np.fromfile(path, _ROW, _LOOKED_AT)
    norms = np.linalg.norm(_quaternions(rows), axis=1)
    with np.errstate(invalid='ignore'):
        sound = np.isfinite(rows['mean']).all(axis=1) & (rows['scale'] >= 0).all(axis=1)
    return bool((sound & (np.abs(norms - 1) < 0.05)).mean() >= _LEAST_UNIT)


def read_antimatter(path: Path) -> Splat:
    """The Gaussians of a file.

    Raises:
        CaldiffError: if it is no whole number of them.
    """
    size = path.stat().st_size
    if size % _ROW.itemsize:
        raise CaldiffError(
            f'{path} has {size} bytes, expected {_ROW.itemsize} for each Gaussian of a .splat; '
            'copy or export it again'
        )

    splat = empty_splat(size // _ROW.itemsize, 1, None)
    with path.open('rb') as file:
        for start in range(0, len(splat), BLOCK):
            rows = np.fromfile(file, _ROW, BLOCK)
            part = splat[start : start + BLOCK]
            part.means[:] = rows['mean']
            with np.errstate(divide='ignore', invalid='ignore'):
                part.log_scales[:] = np.log(rows['scale'])
            part.quaternions[:] = _quaternions(rows)
            part.logits[:] = LOGITS[rows['rgba'][:, 3]]
            part.harmonics[:, 0] = (rows['rgba'][:, :3] / np.float32(255) - 0.5) / SH0

    return splat


def _quaternions(rows: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4), w first, of about norm 1."""
    return (rows['quaternion'] - np.float32(128)) / 128
