# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussians sorted into tiles and blended on a GPU without waiting for it, compiled by Triton.

gsplat's kernels, which training needs, blend a tile's Gaussians one after the other; in the small
images of a localization, which have few tiles, those of several Gaussians at a time are faster.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from caldiff_ros.nerf.gpu_tiles import TileGrid, TileRoom

#: Bits of a sort key that hold the depth.
_DEPTH_BITS = tl.constexpr(32)
#: Gaussians or pairs of a program.
_BLOCK = tl.constexpr(256)
#: Elements, Gaussians times pixels, that a program blends at a time.
_ELEMENTS = 2048
# what gsplat and 3DGS leave out: below this opacity, and behind what lets so little through
_LEAST_OPACITY = tl.constexpr(1 / 255)
_MOST_OPACITY = tl.constexpr(0.999)
_LEAST_PASSING = tl.constexpr(1e-4)


class Projected(NamedTuple):
    """Gaussians (B, N) in images.

    Attributes:
        centers: in pixels, (B, N, 2).
        radii: how far they reach to the right and down, in pixels, 0 if unseen, int32 (B, N, 2).
        depths: (B, N).
        conics: elements (0, 0), (0, 1) and (1, 1) of the inverse of their covariance, (B, N, 3).
        values: what they show, (B, N, 4).
        opacities: (B, N).
    """

    centers: Tensor
    radii: Tensor
    depths: Tensor
    conics: Tensor
    values: Tensor
    opacities: Tensor


class Pairs(NamedTuple):
    """Pairs of tiles and the Gaussians that may show there, by tile and then from near to far.

    Each image has one row of tiles more than it needs: what is left of the room goes into the very
    last one, where no pixel is.

    Attributes:
        begins: where each tile's pairs begin, (B, rows + 1, columns).
        order: the pairs in order, (room.size,).
        owners: the pairs' Gaussians, counted through all images, not in order, (room.size,).
    """

    begins: Tensor
    order: Tensor
    owners: Tensor


def covered_tiles(projected: Projected, grid: TileGrid, room: TileRoom) -> Pairs:
    """What Gaussians cover; what finds no room is left out, see `TileRoom.needed`."""
    centers, radii, depths = (each.contiguous() for each in projected[:3])
    columns, rows, side = grid
    B, N = depths.shape
    device = depths.device
    counts = torch.empty(B * N, dtype=torch.int32, device=device)
    shape = columns, rows, side
    _count[(triton.cdiv(B * N, _BLOCK.value),)](centers, radii, counts, B * N, shape)
    ends = counts.cumsum(0)
    torch.maximum(room.needed, ends[-1], out=room.needed)

    keys = torch.empty(room.size, dtype=torch.int64, device=device)
    owners = torch.empty(room.size, dtype=torch.int32, device=device)
    _fill[(triton.cdiv(room.size, _BLOCK.value),)](
        (centers, radii, depths, counts, ends),
        (keys, owners),
        (room.size, B * N, N),
        shape,
        STEPS=(B * N).bit_length(),
    )
    keys, order = keys.sort()
    first = torch.arange(B * (rows + 1) * columns, device=device) << _DEPTH_BITS.value
    begins = torch.searchsorted(keys, first, out_int32=True)

    return Pairs(begins.view(B, rows + 1, columns), order, owners)


def blend(projected: Projected, size: tuple[int, int], grid: TileGrid, pairs: Pairs) -> Tensor:
    """Blend Gaussians front to back.

    Args:
        projected: Gaussians (B, N).
        size: width and height of the images.
        grid: their tiles.
        pairs: what each tile may show.

    Returns:
        (B, H * W, 5): values, weighted by the share of what shows them, and opacity.
    """
    width, height = size
    B = len(projected.depths)
    shown = projected.values.new_empty(B, height * width, 5)
    _blend[(B * grid.rows * grid.columns,)](
        tuple(pairs),
        tuple(each.contiguous() for each in (projected.centers, *projected[3:])),
        shown,
        (*size, grid.columns, grid.rows),
        SIDE=grid.side,
        AT_ONCE=max(16, _ELEMENTS // grid.side**2),
    )
    return shown


@triton.jit
def _reach(centers, radii, gaussian, columns, rows, side):
    """First column and row that Gaussians cover, how many from there, 0 of what is not seen."""
    x, y = tl.load(centers + 2 * gaussian), tl.load(centers + 2 * gaussian + 1)
    rx = tl.load(radii + 2 * gaussian).to(tl.float32)
    ry = tl.load(radii + 2 * gaussian + 1).to(tl.float32)
    left = tl.minimum(tl.maximum(tl.floor((x - rx) / side), 0.0), columns)
    right = tl.minimum(tl.maximum(tl.ceil((x + rx) / side), 0.0), columns)
    top = tl.minimum(tl.maximum(tl.floor((y - ry) / side), 0.0), rows)
    bottom = tl.minimum(tl.maximum(tl.ceil((y + ry) / side), 0.0), rows)
    seen = (rx > 0) & (ry > 0) & (x == x) & (y == y)
    width = tl.where(seen, right - left, 0.0)
    height = tl.where(seen, bottom - top, 0.0)
    left, top = tl.where(seen, left, 0.0), tl.where(seen, top, 0.0)
    return left.to(tl.int32), top.to(tl.int32), width.to(tl.int32), height.to(tl.int32)


@triton.jit(do_not_specialize=('n',))
def _count(centers, radii, counts, n, shape):
    """How many tiles each Gaussian covers."""
    columns, rows, side = shape
    gaussian = tl.program_id(0) * _BLOCK + tl.arange(0, _BLOCK)
    inside = gaussian < n
    _, _, width, height = _reach(centers, radii, tl.minimum(gaussian, n - 1), columns, rows, side)
    tl.store(counts + gaussian, width * height, inside)


@triton.jit
def _fill(gaussians, pairs, numbers, shape, STEPS: tl.constexpr):
    """Sort key and Gaussian of each pair."""
    centers, radii, depths, counts, ends = gaussians
    keys, owners = pairs
    size, n, per_image = numbers
    columns, rows, side = shape
    pair = tl.program_id(0) * _BLOCK + tl.arange(0, _BLOCK)
    used = pair < tl.load(ends + n - 1)

    # 1. The Gaussian whose pairs end behind this one
    low = tl.zeros([_BLOCK], tl.int32)
    high = low + n - 1
    for _ in range(STEPS):
        middle = (low + high) // 2
        is_behind = tl.load(ends + middle) > pair
        high = tl.where(is_behind, middle, high)
        low = tl.minimum(tl.where(is_behind, low, middle + 1), high)

    # 2. Which of its tiles
    left, top, width, _ = _reach(centers, radii, low, columns, rows, side)
    nth = (pair - (tl.load(ends + low) - tl.load(counts + low))).to(tl.int32)
    across = tl.maximum(width, 1)
    tile = (low // per_image) * (rows + 1) + top + nth // across
    tile = tile * columns + left + nth % across
    last = (n // per_image) * (rows + 1) * columns - 1
    depth = tl.load(depths + low).to(tl.int32, bitcast=True).to(tl.int64)
    key = (tl.where(used, tile, last).to(tl.int64) << _DEPTH_BITS) | tl.where(used, depth, 0)
    tl.store(keys + pair, key, pair < size)
    tl.store(owners + pair, low, pair < size)


@triton.jit
def _blend(pairs, gaussians, shown, numbers, SIDE: tl.constexpr, AT_ONCE: tl.constexpr):
    """One program per tile."""
    begins, order, owners = pairs
    centers, conics, values, opacities = gaussians
    width, height, columns, rows = numbers
    image = tl.program_id(0) // (rows * columns)
    row = tl.program_id(0) // columns % rows
    column = tl.program_id(0) % columns
    tile = (image * (rows + 1) + row) * columns + column
    begin, end = tl.load(begins + tile), tl.load(begins + tile + 1)

    pixel = tl.arange(0, SIDE * SIDE)
    u, v = column * SIDE + pixel % SIDE, row * SIDE + pixel // SIDE
    inside = (u < width) & (v < height)
    passing = tl.full([SIDE * SIDE], 1.0, tl.float32)
    is_open = inside
    red = tl.zeros([SIDE * SIDE], tl.float32)
    green, blue, depth = red, red, red

    while (begin < end) & (tl.sum(is_open.to(tl.int32)) > 0):
        # 1. Opacity of some Gaussians at the tile's pixels
        pair = begin + tl.arange(0, AT_ONCE)
        known = pair < end
        g = tl.load(owners + tl.load(order + pair, known, 0)).to(tl.int64)
        x = tl.load(centers + 2 * g)[:, None] - (u + 0.5)[None, :]
        y = tl.load(centers + 2 * g + 1)[:, None] - (v + 0.5)[None, :]
        a, b = tl.load(conics + 3 * g)[:, None], tl.load(conics + 3 * g + 1)[:, None]
        c = tl.load(conics + 3 * g + 2)[:, None]
        falloff = 0.5 * (a * x * x + c * y * y) + b * x * y
        opacity = tl.load(opacities + g)[:, None] * tl.exp(-falloff)
        opacity = tl.minimum(opacity, _MOST_OPACITY)
        counts = known[:, None] & (falloff >= 0) & (opacity >= _LEAST_OPACITY)
        opacity = tl.where(counts, opacity, 0.0)

        # 2. What those in front of each let through
        light = tl.log(1 - opacity)
        behind = passing[None, :] * tl.exp(tl.cumsum(light, 0))
        weight = opacity * behind / (1 - opacity)
        drawn = is_open[None, :] & (behind > _LEAST_PASSING)
        weight = tl.where(drawn, weight, 0.0)
        red += tl.sum(weight * tl.load(values + 4 * g)[:, None], 0)
        green += tl.sum(weight * tl.load(values + 4 * g + 1)[:, None], 0)
        blue += tl.sum(weight * tl.load(values + 4 * g + 2)[:, None], 0)
        depth += tl.sum(weight * tl.load(values + 4 * g + 3)[:, None], 0)
        passing = tl.minimum(passing, tl.min(tl.where(drawn, behind, 1.0), 0))
        is_open = is_open & (tl.min(behind, 0) > _LEAST_PASSING)
        begin += AT_ONCE

    place = shown + ((image * height + v) * width + u).to(tl.int64) * 5
    tl.store(place, red, inside)
    tl.store(place + 1, green, inside)
    tl.store(place + 2, blue, inside)
    tl.store(place + 3, depth, inside)
    tl.store(place + 4, 1 - passing, inside)
