# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIFT features of images, and which of two images are the same."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.nearest import mutual_matches
from caldiff_ros.sift import root_sift

#: Least contrast of a feature, and how much nearer a match must be than the second nearest one.
_CONTRAST, _RATIO = 0.01, 0.8
#: SIFT counts gradients in 4 x 4 cells, row by row, of 8 directions each. In the mirrored image the
#: feature is turned so that its rows come in the opposite order, and directions turn the other way.
_MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][..., -np.arange(8) % 8].ravel()


def features_of(
    rgb: np.ndarray,
    usable: np.ndarray | None = None,
    count: int = 3000,
    contrast: float = _CONTRAST,
) -> tuple[Tensor, Tensor]:
    """SIFT features of an image, at most about ``count``.

    Args:
        rgb: uint8 (H, W, 3).
        usable: pixels that may have features, bool (H, W); None for all.
        count: how many.
        contrast: the least of a feature, as OpenCV counts it.

    Returns:
        Places (F, 2) in pixels, and unit descriptors (F, 128).
    """
    places, descriptors = root_sift(rgb, count, contrast, usable=usable)
    return torch.from_numpy(places).float(), torch.from_numpy(descriptors)


def mirrored_descriptors(descriptors: Tensor) -> Tensor:
    """Descriptors (F, 128) as they are in the mirrored image."""
    return descriptors[:, torch.from_numpy(_MIRRORED)]


def matches(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (M,) of features (F, 128) and (G, 128) that match each other best, and clearly."""
    if len(first) < 2 or len(second) < 2:
        return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)

    rows, columns = mutual_matches((first @ second.T).numpy(), _RATIO)
    return torch.from_numpy(rows), torch.from_numpy(columns).long()
