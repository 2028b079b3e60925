# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Comparing renders with the query on a CPU, compiled by Numba; `query` and `alignment` call it.

One pass over the pixels of a pose, and nothing but sums is kept. As in `splat_kernels`, constants
are made of the arrays' type; sums are float64.
"""

from __future__ import annotations

import numpy as np

from caldiff_ros.compiling import compiled

#: Exposures within one stop, and as much haze or glare as leaves an image usable.
GAINS, OFFSETS = (0.5, 2.0), (-0.3, 0.3)
#: Variance of colours below which there is too little contrast to tell the gain.
CONTRAST = 1e-3
#: Colour difference (0..1) beyond which a pixel says little about the exposure (Geman-McClure), and
#: how often the weights are renewed: what stands in front of the scene is not part of it.
ROBUST_SCALE, REWEIGHTINGS = 0.2, 3
#: Colours from which a pixel may be burnt out: half a grey level below white.
WHITE = 1 - 0.5 / 255
#: Ratio of the depths around a pixel from which it is at an edge, and the depth of empty space.
EDGE_RATIO, FAR = 1.04, 1e3
#: Pixels along the edge of a block whose residuals are taken to be one observation.
BLOCK_PX = 8


@compiled
def fit_exposure(rgb, target, weight, gains, offsets):
    """Gain and offset per channel that bring colours nearest to others, see `query.fit_exposure`.

    Args:
        rgb: colours, (S, 3).
        target: what they should be, (S, 3).
        weight: of the pixels, (S,).
        gains: written to, (3,).
        offsets: written to, (3,).
    """
    real = rgb.dtype.type
    zero, one, white, black = real(0), real(1), real(WHITE), real(1 - WHITE)
    scale = real(ROBUST_SCALE * ROBUST_SCALE)
    sums = np.empty((3, 5))

    for turn in range(REWEIGHTINGS + 1):
        sums[:] = 0.0
        for i in range(len(rgb)):
            given = weight[i]
            if not given > zero:
                continue

            if turn > 0:
                squared = zero
                for k in range(3):
                    shown = min(max(gains[k] * rgb[i, k] + offsets[k], zero), one)
                    squared += (shown - target[i, k]) * (shown - target[i, k])
                share = scale / (scale + squared)
                given *= share * share

            for k in range(3):
                x, y = rgb[i, k], target[i, k]
                if turn > 0:
                    # burnt out or black, and expected to be, says nothing
                    shown = gains[k] * x + offsets[k]
                    if (shown >= one and y >= white) or (shown <= zero and y <= black):
                        continue
                sums[k, 0] += given
                sums[k, 1] += given * x
                sums[k, 2] += given * y
                sums[k, 3] += given * x * x
                sums[k, 4] += given * x * y

        for k in range(3):
            total = max(sums[k, 0], 1e-9)
            x, y = sums[k, 1] / total, sums[k, 2] / total
            share = sums[k, 0] / total
            variance = sums[k, 3] / total - (2 - share) * x * x
            covariance = sums[k, 4] / total - (2 - share) * x * y
            gain = min(max((covariance + CONTRAST) / (variance + CONTRAST), GAINS[0]), GAINS[1])
            gains[k] = gain
            offsets[k] = min(max(y - gain * x, OFFSETS[0]), OFFSETS[1])


@compiled
def exposed(rgb, target, weight, is_affine, result):
    """Write colours (S, 3) with the exposure of others; as they are if it may not differ."""
    gains, offsets = np.ones(3, rgb.dtype), np.zeros(3, rgb.dtype)
    zero, one = rgb.dtype.type(0), rgb.dtype.type(1)
    if is_affine:
        fit_exposure(rgb, target, weight, gains, offsets)

    for i in range(len(rgb)):
        for k in range(3):
            value = gains[k] * rgb[i, k] + offsets[k]
            result[i, k] = min(max(value, zero), one) if is_affine else value


@compiled
def photometric_error(rgb, target, is_affine, robust_scale):
    """Photometric error of colours (S, 3), see `query.error_of`; a scale of 0 is none."""
    shown = np.empty_like(rgb)
    exposed(rgb, target, np.ones(len(rgb), rgb.dtype), is_affine, shown)
    total = 0.0
    for i in range(len(rgb)):
        squared = 0.0
        for k in range(3):
            squared += (shown[i, k] - target[i, k]) ** 2
        if robust_scale > 0:
            squared *= robust_scale**2 / (robust_scale**2 + squared)
        total += squared

    return total / (3 * len(rgb))


@compiled
def blur(images, kernel, result):
    """Blur (H, W, 3) by a kernel (5,) along both axes, borders repeated."""
    height, width, _ = images.shape
    along_u = np.empty_like(images)
    for v in range(height):
        for u in range(width):
            for k in range(3):
                value = images.dtype.type(0)
                for tap in range(5):
                    value += kernel[tap] * images[v, min(max(u + tap - 2, 0), width - 1), k]
                along_u[v, u, k] = value

    for v in range(height):
        for u in range(width):
            for k in range(3):
                value = images.dtype.type(0)
                for tap in range(5):
                    value += kernel[tap] * along_u[min(max(v + tap - 2, 0), height - 1), u, k]
                result[v, u, k] = value


@compiled
def _depth_at(depth, opacity, fill, v, u):
    """Depth of a pixel; where it shows nothing that of its neighbours, as silhouettes move so."""
    height, width = depth.shape
    if opacity[v, u] > 0.5:
        return depth[v, u]

    weights, sums = 0.0, 0.0
    for i in range(5):
        for j in range(5):
            row, column = min(max(v + i - 2, 0), height - 1), min(max(u + j - 2, 0), width - 1)
            weight = fill[i] * fill[j] * opacity[row, column]
            weights += weight
            sums += weight * depth[row, column]

    return sums / max(weights, 1e-4)


@compiled
def _at_edge(depth, opacity, v, u):
    """Whether the depth differs much around a pixel."""
    height, width = depth.shape
    nearest, farthest = np.inf, 0.0
    for row in range(max(v - 1, 0), min(v + 2, height)):
        for column in range(max(u - 1, 0), min(u + 2, width)):
            z = max(depth[row, column], 1e-6) if opacity[row, column] > 0.5 else FAR
            nearest, farthest = min(nearest, z), max(farthest, z)

    return farthest > EDGE_RATIO * nearest


@compiled
def linearize(rendering, query, kernels, camera, numbers, sums):
    """Compare a render with the query, and how that changes with the pose.

    Args:
        rendering: colours (H, W, 3), depth (H, W), opacity (H, W).
        query: blurred colours (H, W, 3), and 1 where they are compared, else 0, (H, W).
        kernels: blur of the colours, (5,) or (0,) for none, and the one that fills depths, (5,).
        camera: fx, fy, cx, cy.
        numbers: robust scale, weight at edges, share of the query in the image gradients, 1 if the
            exposure may differ.
        sums: curvature J^T W J (6, 6) and gradient J^T W r of each block of pixels (rows, columns,
            6), added to; translation in the camera's frame.

    Returns:
        Robust cost per pixel.
    """
    rgb, depth, opacity = rendering
    target, seen = query
    curvature, gradient = sums
    fx, fy, cx, cy = camera
    robust_scale, edge_weight, query_share, is_affine = numbers
    height, width, _ = rgb.shape
    real = rgb.dtype.type
    half, one = real(0.5), real(1)
    of_query, of_render = real(query_share), real(1 - query_share)

    # 1. As the query is blurred and exposed
    shown = rgb
    if len(kernels[0]):
        shown = np.empty_like(rgb)
        blur(rgb, kernels[0], shown)
    image = np.empty_like(rgb)
    exposed(
        shown.reshape(-1, 3),
        target.reshape(-1, 3),
        seen.reshape(-1),
        is_affine > 0,
        image.reshape(-1, 3),
    )

    # 2. Pixel by pixel
    scale = real(robust_scale * robust_scale)
    m_u, m_v = np.empty(6, rgb.dtype), np.empty(6, rgb.dtype)
    by_u, by_v = np.empty(6, rgb.dtype), np.empty(6, rgb.dtype)
    row_sums = np.empty((6, 6), rgb.dtype)
    cost, total = 0.0, 0.0

    for v in range(height):
        row_sums[:] = 0
        for u in range(width):
            compared = seen[v, u]
            if not compared > 0:
                continue

            if edge_weight < 1 and _at_edge(depth, opacity, v, u):
                compared *= real(edge_weight)

            left, right = max(u - 1, 0), min(u + 1, width - 1)
            above, below = max(v - 1, 0), min(v + 1, height - 1)
            step_u = one / real(max(right - left, 1))
            step_v = one / real(max(below - above, 1))
            squared, uu, uv, vv, ru, rv = real(0), real(0), real(0), real(0), real(0), real(0)
            for k in range(3):
                residual = image[v, u, k] - target[v, u, k]
                g_u = of_render * (image[v, right, k] - image[v, left, k])
                g_u = step_u * (g_u + of_query * (target[v, right, k] - target[v, left, k]))
                g_v = of_render * (image[below, u, k] - image[above, u, k])
                g_v = step_v * (g_v + of_query * (target[below, u, k] - target[above, u, k]))
                squared += residual * residual
                uu += g_u * g_u
                uv += g_u * g_v
                vv += g_v * g_v
                ru += g_u * residual
                rv += g_v * residual

            share = scale / (scale + squared)
            cost += compared * share * squared
            total += compared
            weight = compared * share * share
            if not uu + vv > 0:
                continue

            # how the pixel moves: over a shift in the camera's frame, and a turn about its axes
            x, y = (real(u) + half - cx) / fx, (real(v) + half - cy) / fy
            inverse = one / max(real(_depth_at(depth, opacity, kernels[1], v, u)), real(1e-3))
            m_u[0], m_u[1], m_u[2] = fx * inverse, real(0), -fx * x * inverse
            m_u[3], m_u[4], m_u[5] = -fx * x * y, fx * (one + x * x), -fx * y
            m_v[0], m_v[1], m_v[2] = real(0), fy * inverse, -fy * y * inverse
            m_v[3], m_v[4], m_v[5] = -fy * (one + y * y), fy * x * y, fy * x
            for a in range(6):
                by_u[a] = weight * (uu * m_u[a] + uv * m_v[a])
                by_v[a] = weight * (uv * m_u[a] + vv * m_v[a])
                gradient[v // BLOCK_PX, u // BLOCK_PX, a] += weight * (ru * m_u[a] + rv * m_v[a])
            for a in range(6):
                for b in range(6):
                    row_sums[a, b] += m_u[a] * by_u[b] + m_v[a] * by_v[b]

        for a in range(6):
            for b in range(6):
                curvature[a, b] += row_sums[a, b]

    return cost / max(total, 1.0)
