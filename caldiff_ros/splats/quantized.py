# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What several formats keep in a few bits."""

from __future__ import annotations

import numpy as np

#: Opacities of 0 and 1 have infinite logits; they are held as far from that as SuperSplat does.
_LEAST_OPACITY = 1e-6


def _logits() -> np.ndarray:
    opacities = np.clip(np.arange(256) / 255, _LEAST_OPACITY, 1 - _LEAST_OPACITY)
    return np.log(opacities / (1 - opacities)).astype(np.float32)


#: Logits of the opacities 0 to 255, (256,).
LOGITS = _logits()


def with_largest(others: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Unit vectors (N, 4) of which the largest number is not kept; it is positive.

    Args:
        others: the other three of each, in order, (N, 3).
        which: place of the largest, 0 to 3, (N,).
    """
    whole = np.empty((len(others), 4), np.float32)
    rows = np.arange(len(others))
    whole[rows, which] = np.sqrt(np.maximum(0, 1 - (others**2).sum(axis=1)))
    whole[rows[:, None], places_of_others(which)] = others

    return whole


def places_of_others(which: np.ndarray) -> np.ndarray:
    """The three places but one, 0 to 3, (N,): (N, 3), in order."""
    return np.array([[j for j in range(4) if j != i] for i in range(4)])[which]
