# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Spherical harmonics of colours, turned with what they colour."""

from __future__ import annotations

import numpy as np

from caldiff_ros.nerf.splat_kernels import spherical_harmonics

_MAX_TERMS = 16
#: Directions that determine the turn of a band; seven would do for the highest, were they chosen
#: well.
_N_DIRECTIONS = 64


def rotated_harmonics(harmonics: np.ndarray, R: np.ndarray) -> np.ndarray:
    """Harmonics that show in the direction R d what the given ones show in the direction d.

    Args:
        harmonics: (N, K, 3), K = 1, 4, 9 or 16.
        R: rotation (3, 3).
    """
    if np.array_equal(R, np.eye(3)):
        return harmonics

    rotated = harmonics.copy()
    directions = np.random.default_rng(0).normal(size=(_N_DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    before, after = _basis(directions), _basis(directions @ R.T)

    for degree in range(1, round(harmonics.shape[1] ** 0.5)):
        # a turn mixes the terms of a band with each other only
        band = slice(degree**2, (degree + 1) ** 2)
        turn = np.linalg.lstsq(after[:, band], before[:, band], rcond=None)[0]
        rotated[:, band] = turn.astype(harmonics.dtype) @ harmonics[:, band]

    return rotated


def _basis(directions: np.ndarray) -> np.ndarray:
    """Of unit vectors (M, 3): (M, 16)."""
    basis = np.empty((len(directions), _MAX_TERMS))
    for direction, row in zip(directions, basis, strict=True):
        spherical_harmonics(direction, row)

    return basis
