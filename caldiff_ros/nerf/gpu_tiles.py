# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a GPU divides images into tiles, and memory for what Gaussians cover of them."""

from __future__ import annotations

from typing import NamedTuple

import torch

#: Side of the tiles in pixels: small, or the images of a localization would give most of the GPU
#: nothing to do; and from which longer side of an image on they are larger, as there are many.
_SIDE, _LARGER_SIDE, _LARGE_PX = 4, 8, 400


class TileGrid(NamedTuple):
    """How an image is divided into square tiles.

    Attributes:
        columns: their number from left to right.
        rows: their number from top to bottom.
        side: in pixels.
    """

    columns: int
    rows: int
    side: int

    @classmethod
    def of(cls, width: int, height: int) -> TileGrid:
        """The grid that suits an image's size."""
        side = _LARGER_SIDE if max(width, height) >= _LARGE_PX else _SIDE
        return cls(-(-width // side), -(-height // side), side)


class TileRoom:
    """Memory for pairs of a Gaussian and a tile that it covers.

    gsplat asks the GPU how many there are, and reserves as much: the host waits, and what waits
    cannot be recorded. Here the memory is given, and what it would have taken is remembered on the
    GPU.

    Args:
        size: so many pairs.
        device: a GPU.

    Attributes:
        size: so many pairs.
        needed: the most that were asked for since `clear`, int64 () on the device.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.size = size
        self.needed = torch.zeros((), dtype=torch.int64, device=device)

    def clear(self) -> None:
        """Nothing was asked for so far."""
        self.needed.zero_()
