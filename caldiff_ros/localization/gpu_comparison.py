# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Comparing renders with the query on a GPU, compiled by Triton; `query` and `alignment` call it.

The same as `comparison_kernels` for all poses at once: three launches instead of the three hundred
that PyTorch needs for it, each of which costs the host more than it costs the GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from caldiff_ros.localization.comparison_kernels import (
    BLOCK_PX,
    CONTRAST,
    EDGE_RATIO,
    FAR,
    GAINS,
    OFFSETS,
    REWEIGHTINGS,
    ROBUST_SCALE,
    WHITE,
)

# what the kernels know when they are compiled
_PIXELS = tl.constexpr(1024)
_TURNS = tl.constexpr(REWEIGHTINGS + 1)
_SCALE = tl.constexpr(ROBUST_SCALE**2)
_WHITE = tl.constexpr(WHITE)
_CONTRAST = tl.constexpr(CONTRAST)
_LEAST_GAIN, _MOST_GAIN = (tl.constexpr(gain) for gain in GAINS)
_LEAST_OFFSET, _MOST_OFFSET = (tl.constexpr(offset) for offset in OFFSETS)
_BLOCK = tl.constexpr(BLOCK_PX)
_EDGE_RATIO = tl.constexpr(EDGE_RATIO)
_FAR = tl.constexpr(FAR)


def fit_exposure(rgb: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """See `query.fit_exposure`.

    Args:
        rgb: rendered colours, (P, S, 3).
        target: colours of the image at the same pixels, (S, 3).
        weight: of the pixels, (S,).

    Returns:
        Gain and offset, (P, 2, 1, 3).
    """
    P, S, _ = rgb.shape
    exposure = torch.empty(P, 2, 1, 3, device=rgb.device)
    if P:
        _fit_exposure[(P,)](
            rgb.contiguous(), target.contiguous(), weight.contiguous(), exposure, S, num_warps=8
        )
    return exposure


def blur(images: Tensor, kernel: Tensor) -> Tensor:
    """Images (P, H, W, 3) blurred by a kernel (5,) along both axes, borders repeated."""
    P, height, width, _ = images.shape
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    grid = P, triton.cdiv(height * width, _PIXELS.value)
    _blur[grid](images.contiguous(), kernel, result, height, width)
    return result


@dataclass(frozen=True)
class Sums:
    """Comparison of renders from poses (P,) with the query, by blocks of pixels.

    Attributes:
        products: J^T W J and, as a seventh column, J^T W r, (P, rows, columns, 8, 8), translation
            in the camera's frame; the rest is to be ignored.
        costs: sum of the robust costs, and of what the pixels count, (P, rows, columns, 2).
    """

    products: Tensor
    costs: Tensor

    @property
    def totals(self) -> tuple[Tensor, Tensor, Tensor]:
        """Curvature (P, 6, 6), J^T W r of each block (P, rows, columns, 6), cost per pixel (P,)."""
        cost, compared = self.costs.sum((1, 2)).unbind(-1)
        curvature = self.products.sum((1, 2))[:, :6, :6]
        return curvature, self.products[..., :6, 6], cost / compared.clamp_min(1)


def linearize(
    rendering: tuple[Tensor, Tensor, Tensor],
    query: tuple[Tensor, Tensor],
    exposure: Tensor | None,
    camera: tuple[float, float, float, float],
    numbers: tuple[float, float, float],
    fill: Tensor,
) -> Sums:
    """Compare renders of poses (P,) with the query, and how that changes with the poses.

    Args:
        rendering: blurred colours (P, H, W, 3), depth (P, H, W), opacity (P, H, W).
        query: blurred colours (H, W, 3), and 1 where they are compared, else 0, (H, W).
        exposure: gain and offset of the renders, (P, 2, 1, 3); None if it may not differ.
        camera: fx, fy, cx, cy.
        numbers: robust scale, weight at edges, share of the query in the image gradients.
        fill: kernel that fills depths, (5,).
    """
    rgb, depth, opacity = (values.contiguous() for values in rendering)
    target, seen = (values.contiguous() for values in query)
    P, height, width, _ = rgb.shape
    rows, columns = triton.cdiv(height, BLOCK_PX), triton.cdiv(width, BLOCK_PX)
    sums = Sums(rgb.new_empty(P, rows, columns, 8, 8), rgb.new_empty(P, rows, columns, 2))
    is_affine = exposure is not None
    exposure = exposure if is_affine else rgb  # unused then
    _linearize[(P * rows * columns,)](
        (rgb, depth, opacity, target, seen, exposure, fill, sums.products, sums.costs),
        height,
        width,
        camera,
        numbers,
        IS_AFFINE=is_affine,
    )
    return sums


@triton.jit
def _exposed(value, gain, offset):
    return tl.minimum(tl.maximum(gain * value + offset, 0.0), 1.0)


@triton.jit
def _usable(value, expected, gain, offset):
    """What is burnt out or black, and expected to be, says nothing."""
    shown = gain * value + offset
    white = (shown >= 1) & (expected >= _WHITE)
    black = (shown <= 0) & (expected <= 1 - _WHITE)
    return tl.where(white | black, 0.0, 1.0)


@triton.jit
def _least_squares(w, wx, wy, wxx, wxy):
    """Gain and offset from weighted sums."""
    total = tl.maximum(w, 1e-9)
    x, y, share = wx / total, wy / total, w / total
    variance = wxx / total - (2 - share) * x * x
    covariance = wxy / total - (2 - share) * x * y
    gain = (covariance + _CONTRAST) / (variance + _CONTRAST)
    gain = tl.minimum(tl.maximum(gain, _LEAST_GAIN), _MOST_GAIN)
    return gain, tl.minimum(tl.maximum(y - gain * x, _LEAST_OFFSET), _MOST_OFFSET)


@triton.jit(do_not_specialize=('S',))
def _fit_exposure(rgb, target, weight, exposure, S):
    """One program per pose, see `comparison_kernels.fit_exposure`."""
    pose = tl.program_id(0)
    rgb += pose.to(tl.int64) * S * 3
    channel = tl.arange(0, 4)[None, :]
    is_color = channel < 3
    gain = tl.full([1, 4], 1.0, tl.float32)
    offset = tl.full([1, 4], 0.0, tl.float32)

    for turn in range(_TURNS):
        w = tl.zeros([_PIXELS, 4], tl.float32)
        wx, wy, wxx, wxy = w, w, w, w
        for start in range(0, S, _PIXELS):
            pixel = start + tl.arange(0, _PIXELS)[:, None]
            inside = pixel < S
            x = tl.load(rgb + pixel * 3 + channel, inside & is_color, 0.0)
            y = tl.load(target + pixel * 3 + channel, inside & is_color, 0.0)
            given = tl.load(weight + pixel + 0 * channel, inside, 0.0)
            if turn > 0:
                difference = tl.where(is_color, _exposed(x, gain, offset) - y, 0.0)
                squared = tl.sum(difference * difference, 1)[:, None]
                share = _SCALE / (_SCALE + squared)
                given = given * share * share * _usable(x, y, gain, offset)
            w += given
            wx += given * x
            wy += given * y
            wxx += given * x * x
            wxy += given * x * y

        gain, offset = _least_squares(
            tl.sum(w, 0)[None, :],
            tl.sum(wx, 0)[None, :],
            tl.sum(wy, 0)[None, :],
            tl.sum(wxx, 0)[None, :],
            tl.sum(wxy, 0)[None, :],
        )

    tl.store(exposure + pose * 6 + channel, gain, is_color)
    tl.store(exposure + pose * 6 + 3 + channel, offset, is_color)


@triton.jit(do_not_specialize=('height', 'width'))
def _blur(images, kernel, result, height, width):
    pose = tl.program_id(0).to(tl.int64)
    images += pose * height * width * 3
    result += pose * height * width * 3
    pixel = tl.program_id(1) * _PIXELS + tl.arange(0, _PIXELS)[:, None]
    channel = tl.arange(0, 4)[None, :]
    wanted = (pixel < height * width) & (channel < 3)
    v, u = pixel // width, pixel % width
    total = tl.zeros([_PIXELS, 4], tl.float32)
    for i in range(5):
        row = tl.minimum(tl.maximum(v + i - 2, 0), height - 1)
        for j in range(5):
            column = tl.minimum(tl.maximum(u + j - 2, 0), width - 1)
            weight = tl.load(kernel + i) * tl.load(kernel + j)
            total += weight * tl.load(images + (row * width + column) * 3 + channel, wanted, 0.0)
    tl.store(result + pixel * 3 + channel, total, wanted)


@triton.jit
def _depth_at(depth, opacity, fill, place, size):
    """Depth of pixels; where they show nothing that of their neighbours, as silhouettes move so."""
    v, u, inside = place
    height, width = size
    here = v * width + u
    own = tl.load(depth + here, inside, 1.0)
    shown = tl.load(opacity + here, inside, 1.0) > 0.5
    empty = inside & ~shown
    weights, sums = tl.zeros_like(own), tl.zeros_like(own)
    for i in range(5):
        row = tl.minimum(tl.maximum(v + i - 2, 0), height - 1)
        for j in range(5):
            at = row * width + tl.minimum(tl.maximum(u + j - 2, 0), width - 1)
            weight = tl.load(fill + i) * tl.load(fill + j) * tl.load(opacity + at, empty, 0.0)
            weights += weight
            sums += weight * tl.load(depth + at, empty, 0.0)

    return tl.where(shown, own, sums / tl.maximum(weights, 1e-4))


@triton.jit
def _at_edge(depth, opacity, place, size):
    """Whether the depth differs much around pixels."""
    v, u, inside = place
    height, width = size
    nearest = tl.full(v.shape, float('inf'), tl.float32)
    farthest = tl.full(v.shape, 0.0, tl.float32)
    for i in range(3):
        row = tl.minimum(tl.maximum(v + i - 1, 0), height - 1)
        for j in range(3):
            at = row * width + tl.minimum(tl.maximum(u + j - 1, 0), width - 1)
            shown = tl.load(opacity + at, inside, 0.0) > 0.5
            z = tl.where(shown, tl.maximum(tl.load(depth + at, inside, 1.0), 1e-6), _FAR)
            nearest, farthest = tl.minimum(nearest, z), tl.maximum(farthest, z)

    return farthest > nearest * _EDGE_RATIO


@triton.jit(do_not_specialize=('height', 'width'))
def _linearize(tensors, height, width, camera, numbers, IS_AFFINE: tl.constexpr):
    """One program per block of pixels, see `comparison_kernels.linearize`."""
    rgb, depth, opacity, target, seen, exposure, fill, sums, costs = tensors
    fx, fy, cx, cy = camera
    robust_scale, edge_weight, of_query = numbers
    program = tl.program_id(0)
    columns = tl.cdiv(width, _BLOCK)
    blocks = tl.cdiv(height, _BLOCK) * columns
    pose = program // blocks
    block = program % blocks
    rgb += pose.to(tl.int64) * height * width * 3
    depth += pose.to(tl.int64) * height * width
    opacity += pose.to(tl.int64) * height * width

    # 1. How much each pixel counts
    lane = tl.arange(0, _BLOCK * _BLOCK)
    v = block // columns * _BLOCK + lane // _BLOCK
    u = block % columns * _BLOCK + lane % _BLOCK
    inside = (v < height) & (u < width)
    place, size = (v, u, inside), (height, width)
    here = v * width + u
    compared = tl.load(seen + here, inside, 0.0)
    if edge_weight < 1:
        edge = _at_edge(depth, opacity, place, size)
        compared = tl.where(edge, compared * edge_weight, compared)

    # 2. Its colours' residuals and gradients, multiplied with each other
    left, right = tl.maximum(u - 1, 0), tl.minimum(u + 1, width - 1)
    above, below = tl.maximum(v - 1, 0), tl.minimum(v + 1, height - 1)
    step_u = 1.0 / tl.maximum(right - left, 1)
    step_v = 1.0 / tl.maximum(below - above, 1)
    squared = tl.zeros_like(compared)
    uu, uv, vv, ru, rv = squared, squared, squared, squared, squared
    for k in range(3):
        g_u = tl.zeros_like(compared)
        g_v = tl.zeros_like(compared)
        gain, offset = 1.0, 0.0
        if IS_AFFINE:
            gain = tl.load(exposure + pose * 6 + k)
            offset = tl.load(exposure + pose * 6 + 3 + k)
        value = tl.load(rgb + here * 3 + k, inside, 0.0)
        at_left = tl.load(rgb + (v * width + left) * 3 + k, inside, 0.0)
        at_right = tl.load(rgb + (v * width + right) * 3 + k, inside, 0.0)
        at_above = tl.load(rgb + (above * width + u) * 3 + k, inside, 0.0)
        at_below = tl.load(rgb + (below * width + u) * 3 + k, inside, 0.0)
        if IS_AFFINE:
            value = _exposed(value, gain, offset)
            at_left, at_right = _exposed(at_left, gain, offset), _exposed(at_right, gain, offset)
            at_above, at_below = _exposed(at_above, gain, offset), _exposed(at_below, gain, offset)
        g_u, g_v = at_right - at_left, at_below - at_above
        if of_query > 0:
            t_left = tl.load(target + (v * width + left) * 3 + k, inside, 0.0)
            t_right = tl.load(target + (v * width + right) * 3 + k, inside, 0.0)
            t_above = tl.load(target + (above * width + u) * 3 + k, inside, 0.0)
            t_below = tl.load(target + (below * width + u) * 3 + k, inside, 0.0)
            g_u = (1 - of_query) * g_u + of_query * (t_right - t_left)
            g_v = (1 - of_query) * g_v + of_query * (t_below - t_above)
        g_u, g_v = g_u * step_u, g_v * step_v
        residual = value - tl.load(target + here * 3 + k, inside, 0.0)
        squared += residual * residual
        uu += g_u * g_u
        uv += g_u * g_v
        vv += g_v * g_v
        ru += g_u * residual
        rv += g_v * residual

    share = robust_scale * robust_scale / (robust_scale * robust_scale + squared)
    weight = compared * share * share
    tl.store(costs + program * 2, tl.sum(compared * share * squared, 0))
    tl.store(costs + program * 2 + 1, tl.sum(compared, 0))

    # 3. How it moves: over a shift in the camera's frame, and a turn about its axes; a seventh
    # column holds the residuals
    x, y = (u + 0.5 - cx) / fx, (v + 0.5 - cy) / fy
    z = _depth_at(depth, opacity, fill, place, size)
    inverse = 1.0 / tl.maximum(z, 1e-3)
    column = tl.arange(0, 8)[None, :]
    m_u = tl.where(column == 0, (fx * inverse)[:, None], 0.0)
    m_u = tl.where(column == 2, (-fx * x * inverse)[:, None], m_u)
    m_u = tl.where(column == 3, (-fx * x * y)[:, None], m_u)
    m_u = tl.where(column == 4, (fx * (1 + x * x))[:, None], m_u)
    m_u = tl.where(column == 5, (-fx * y)[:, None], m_u)
    m_v = tl.where(column == 1, (fy * inverse)[:, None], 0.0)
    m_v = tl.where(column == 2, (-fy * y * inverse)[:, None], m_v)
    m_v = tl.where(column == 3, (-fy * (1 + y * y))[:, None], m_v)
    m_v = tl.where(column == 4, (fy * x * y)[:, None], m_v)
    m_v = tl.where(column == 5, (fy * x)[:, None], m_v)
    by_u = tl.where(column == 6, ru[:, None], uu[:, None] * m_u + uv[:, None] * m_v)
    by_v = tl.where(column == 6, rv[:, None], uv[:, None] * m_u + vv[:, None] * m_v)
    by_u, by_v = weight[:, None] * by_u, weight[:, None] * by_v
    products = m_u[:, :, None] * by_u[:, None, :] + m_v[:, :, None] * by_v[:, None, :]
    row = tl.arange(0, 8)[:, None]
    tl.store(sums + program.to(tl.int64) * 64 + row * 8 + column, tl.sum(products, 0))
