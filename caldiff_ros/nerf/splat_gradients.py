# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gradients of the kernels in `splat_kernels`: of images to Gaussians, and to the camera's pose.

The blend goes from front to back once more: with the final values of a pixel known, what lies
behind a Gaussian is their rest, so nothing is kept for each pixel but these.
"""

from __future__ import annotations

import math

import numpy as np

from caldiff_ros.compiling import compiled
from caldiff_ros.nerf.splat_kernels import (
    BLUE,
    DEPTH,
    EXPONENT,
    GREEN,
    HALF_A,
    HALF_C,
    LOOKED_UP_AFTER,
    MAX_ALPHA,
    MIN_TRANSMITTANCE,
    OPACITY,
    REACH_V,
    RED,
    SH1,
    SH2,
    SH3,
    SH3_XYZ,
    TILE,
    B,
    U,
    V,
    falloff,
    falloff_numbers,
    image_plane,
    most_groups_of,
    rotation_matrix,
    spherical_harmonics,
    tiles_of,
)

#: Columns of the gradients of projected Gaussians: sums over pixels of the exponent's gradient
#: times the offsets to the second and first power, and the gradients of opacity, colour and depth.
_UU, _UV, _VV, _U, _V, _OPACITY, _RED, _GREEN, _BLUE, _DEPTH = range(10)
GRADIENT_COLUMNS = 10


@compiled
def blend_gradients(records, tiles, groups, part, images, gradients):
    """Add the gradients of a loss to what tiles blend.

    Args:
        records: see `splat_kernels.project`, nearest first.
        tiles: see `splat_kernels.sort_into_tiles`.
        groups: pixels, see `splat_kernels.blend`.
        part: which tiles, see `splat_kernels.blend`.
        images: the image and the loss's gradient to it, (pixels, CHANNELS) each.
        gradients: of the projected Gaussians, added to, (M, GRADIENT_COLUMNS).
    """
    begins, ends, places = tiles
    group_starts, us, vs, pixels = groups
    image, image_gradients = images
    dtype = records.dtype
    real = dtype.type
    zero, one = real(0), real(1)
    most, full = real(MAX_ALPHA), real(MIN_TRANSMITTANCE)
    numbers = falloff_numbers(records)
    most_groups = most_groups_of(group_starts)

    # of each pixel of the tile: light that comes through, the loss's part that lies behind, and the
    # loss's gradients to colour, depth and opacity
    through, behind = np.empty((most_groups, TILE), dtype), np.empty((most_groups, TILE), dtype)
    wanted = np.empty((most_groups, 5, TILE), dtype)
    top, bottom = np.empty(most_groups, dtype), np.empty(most_groups, dtype)
    sums = np.empty((GRADIENT_COLUMNS, TILE), dtype)

    for tile in tiles_of(part):
        first_group = group_starts[tile]
        n_groups = group_starts[tile + 1] - first_group
        if n_groups == 0:
            continue

        for g in range(n_groups):
            top[g], bottom[g] = vs[first_group + g].min(), vs[first_group + g].max()
            for k in range(TILE):
                pixel = pixels[first_group + g, k]
                through[g, k] = one if pixel >= 0 else zero
                behind[g, k] = zero
                for channel in range(5):
                    wanted[g, channel, k] = zero
                    if pixel >= 0:
                        wanted[g, channel, k] = image_gradients[pixel, channel]
                        behind[g, k] += image_gradients[pixel, channel] * image[pixel, channel]

        since = 0
        for j in range(begins[tile], ends[tile]):
            place = places[j]
            record = records[place]
            u, v = record[U], record[V]
            half_a, b, half_c = record[HALF_A], record[B], record[HALF_C]
            opacity, exponent, depth = record[OPACITY], record[EXPONENT], record[DEPTH]
            red, green, blue = record[RED], record[GREEN], record[BLUE]
            highest, lowest = v - record[REACH_V], v + record[REACH_V]
            for column in range(GRADIENT_COLUMNS):
                for k in range(TILE):
                    sums[column, k] = zero

            for g in range(n_groups):
                if bottom[g] < highest or top[g] > lowest:
                    continue

                at_u, at_v = us[first_group + g], vs[first_group + g]
                light, rest, want = through[g], behind[g], wanted[g]
                for k in range(TILE):
                    du, dv = at_u[k] - u, at_v[k] - v
                    q = (half_a * du + b * dv) * du + half_c * dv * dv
                    e = falloff(q, exponent, numbers)
                    alpha = min(opacity * e, most)
                    weight = alpha * light[k]
                    value = want[0, k] * red + want[1, k] * green + want[2, k] * blue
                    value += want[3, k] * depth + want[4, k]
                    rest[k] -= weight * value

                    by_alpha = light[k] * value - rest[k] / (one - alpha)
                    by_alpha = by_alpha if zero < alpha < most else zero
                    light[k] -= weight

                    by_q = -alpha * by_alpha
                    sums[_U, k] += by_q * du
                    sums[_V, k] += by_q * dv
                    sums[_UU, k] += by_q * du * du
                    sums[_UV, k] += by_q * du * dv
                    sums[_VV, k] += by_q * dv * dv
                    sums[_OPACITY, k] += by_alpha * e
                    sums[_RED, k] += weight * want[0, k]
                    sums[_GREEN, k] += weight * want[1, k]
                    sums[_BLUE, k] += weight * want[2, k]
                    sums[_DEPTH, k] += weight * want[3, k]

            for column in range(GRADIENT_COLUMNS):
                total = zero
                for k in range(TILE):
                    total += sums[column, k]
                gradients[place, column] += total

            since += 1
            if since == LOOKED_UP_AFTER:
                since = 0
                if through[:n_groups].max() < full:
                    break


@compiled
def harmonics_gradients(direction, weights, gradient):
    """Add the gradient of a weighted sum of spherical harmonics to a vector (3,).

    Args:
        direction: unit vector (3,).
        weights: of the harmonics, (1, 4, 9 or 16,).
        gradient: to the direction, added to, (3,).
    """
    x, y, z = direction[0], direction[1], direction[2]
    n = len(weights)
    if n > 1:
        gradient[0] -= SH1 * weights[3]
        gradient[1] -= SH1 * weights[1]
        gradient[2] += SH1 * weights[2]

    if n > 4:
        a, b, c = SH2
        gradient[0] += a * y * weights[4] - 2 * b * x * weights[6] - a * z * weights[7]
        gradient[0] += 2 * c * x * weights[8]
        gradient[1] += a * x * weights[4] - a * z * weights[5] - 2 * b * y * weights[6]
        gradient[1] -= 2 * c * y * weights[8]
        gradient[2] += -a * y * weights[5] + 4 * b * z * weights[6] - a * x * weights[7]

    if n > 9:
        a, b, c, d = SH3
        e = SH3_XYZ
        gradient[0] += -6 * a * x * y * weights[9] + b * y * z * weights[10]
        gradient[0] += 2 * c * x * y * weights[11] - 6 * d * x * z * weights[12]
        gradient[0] -= c * (4 * z * z - 3 * x * x - y * y) * weights[13]
        gradient[0] += 2 * e * x * z * weights[14] - 3 * a * (x * x - y * y) * weights[15]
        gradient[1] += -3 * a * (x * x - y * y) * weights[9] + b * x * z * weights[10]
        gradient[1] -= c * (4 * z * z - x * x - 3 * y * y) * weights[11]
        gradient[1] += -6 * d * y * z * weights[12] + 2 * c * x * y * weights[13]
        gradient[1] += -2 * e * y * z * weights[14] + 6 * a * x * y * weights[15]
        gradient[2] += b * x * y * weights[10] - 8 * c * y * z * weights[11]
        gradient[2] += d * (6 * z * z - 3 * x * x - 3 * y * y) * weights[12]
        gradient[2] += -8 * c * x * z * weights[13] + e * (x * x - y * y) * weights[14]


@compiled
def project_gradients(gaussians, pose, camera, part, seen, gradients):
    """From gradients of projected Gaussians to those of the Gaussians and of the pose.

    Args:
        gaussians: see `splat_kernels.project`.
        pose: R (3, 3) and t (3,) of T_norm_cam.
        camera: see `splat_kernels.project`.
        part: first of the projected Gaussians and the one after the last.
        seen: records, numbers of their Gaussians, the records in the order of these, and their
            gradients from each of some threads (threads, M, GRADIENT_COLUMNS).
        gradients: of means, scales, quaternions, opacities and harmonics, and of the
            places in the image (N, 2), written to; and of R and t, row by row, added to, (12,).
    """
    means, all_scales, quaternions, opacities, harmonics = gaussians
    records, ids, by_id, projected = seen
    by_mean, by_scale, by_quaternion, by_opacity, by_harmonics, by_place, by_pose = gradients
    R, t = pose
    dtype = means.dtype
    real = dtype.type
    fx, fy = camera[0], camera[1]
    zero, one, two, dilation, blur = real(0), real(1), real(2), camera[7], camera[8]
    p, offset, direction = np.empty(3, dtype), np.empty(3, dtype), np.empty(3, dtype)
    by_p, by_direction = np.empty(3, dtype), np.empty(3, dtype)
    weights = np.empty(harmonics.shape[1], dtype)
    J, by_J = np.empty((2, 3), dtype), np.empty((2, 3), dtype)
    M, by_M = np.empty((2, 3), dtype), np.empty((2, 3), dtype)
    turned, by_turned = np.empty((3, 3), dtype), np.empty((3, 3), dtype)
    T, by_T = np.empty((2, 3), dtype), np.empty((2, 3), dtype)
    scales = np.empty(3, dtype)
    by_R, by_t = np.zeros((3, 3), dtype), np.zeros(3, dtype)
    basis = np.empty(harmonics.shape[1], dtype)
    g = np.empty(GRADIENT_COLUMNS, dtype)

    for n in range(part[0], part[1]):
        place = by_id[n]
        i = ids[place]
        record = records[place]
        for column in range(GRADIENT_COLUMNS):
            g[column] = zero
            for thread in range(len(projected)):
                g[column] += projected[thread, place, column]

        # 1. The projection once more
        for k in range(3):
            offset[k] = means[i, k] - t[k]
        for k in range(3):
            p[k] = R[0, k] * offset[0] + R[1, k] * offset[1] + R[2, k] * offset[2]
            scales[k] = all_scales[i, k]

        inverse = one / p[2]
        x, y = image_plane(p, camera, J)
        inverse_norm = rotation_matrix(quaternions[i], turned)
        for row in range(2):
            for k in range(3):
                M[row, k] = J[row, 0] * R[k, 0] + J[row, 1] * R[k, 1] + J[row, 2] * R[k, 2]
            for k in range(3):
                T[row, k] = scales[k] * (
                    M[row, 0] * turned[0, k] + M[row, 1] * turned[1, k] + M[row, 2] * turned[2, k]
                )

        a = T[0, 0] * T[0, 0] + T[0, 1] * T[0, 1] + T[0, 2] * T[0, 2] + dilation
        b = T[0, 0] * T[1, 0] + T[0, 1] * T[1, 1] + T[0, 2] * T[1, 2]
        c = T[1, 0] * T[1, 0] + T[1, 1] * T[1, 1] + T[1, 2] * T[1, 2] + dilation
        sharp = max(a * c - b * b, zero)
        a_filtered, c_filtered = a + blur, c + blur
        determinant = a_filtered * c_filtered - b * b

        # 2. Opacity: that of the Gaussian times the filter's share
        opacity = record[OPACITY]
        by_opacity[i] = g[_OPACITY] * opacity / opacities[i]

        # 3. Covariance in the image, through its inverse (A, B; B, C) and through the opacity
        A, B_, C = two * record[HALF_A], record[B], two * record[HALF_C]
        by_A, by_B, by_C = g[_UU] / two, g[_UV], g[_VV] / two
        by_a = -(by_A * A * A + by_B * A * B_ + by_C * B_ * B_)
        by_b = -(two * by_A * A * B_ + by_B * (A * C + B_ * B_) + two * by_C * B_ * C)
        by_c = -(by_A * B_ * B_ + by_B * B_ * C + by_C * C * C)
        if sharp > zero:
            by_share = g[_OPACITY] * opacity / two
            by_a += by_share * (c / sharp - c_filtered / determinant)
            by_b += by_share * two * (b / determinant - b / sharp)
            by_c += by_share * (a / sharp - a_filtered / determinant)

        for k in range(3):
            by_T[0, k] = two * by_a * T[0, k] + by_b * T[1, k]
            by_T[1, k] = two * by_c * T[1, k] + by_b * T[0, k]

        # 4. T = M @ turned @ diag(scales)
        for k in range(3):
            by_scale[i, k] = (by_T[0, k] * T[0, k] + by_T[1, k] * T[1, k]) / scales[k]
            by_T[0, k] *= scales[k]
            by_T[1, k] *= scales[k]
        for row in range(3):
            for k in range(3):
                by_turned[row, k] = M[0, row] * by_T[0, k] + M[1, row] * by_T[1, k]
        for row in range(2):
            for k in range(3):
                by_M[row, k] = (
                    by_T[row, 0] * turned[k, 0]
                    + by_T[row, 1] * turned[k, 1]
                    + by_T[row, 2] * turned[k, 2]
                )
        _quaternion_gradients(quaternions[i], inverse_norm, by_turned, by_quaternion[i])

        # 5. M = J @ R^T
        for row in range(2):
            for k in range(3):
                by_J[row, k] = (
                    by_M[row, 0] * R[0, k] + by_M[row, 1] * R[1, k] + by_M[row, 2] * R[2, k]
                )
                for axis in range(3):
                    by_R[k, axis] += by_M[row, k] * J[row, axis]

        # 6. The point in the camera frame, through its place in the image, depth, and J
        by_u = -(A * g[_U] + B_ * g[_V])
        by_v = -(B_ * g[_U] + C * g[_V])
        by_place[i, 0], by_place[i, 1] = by_u, by_v
        by_p[0] = by_u * fx * inverse
        by_p[1] = by_v * fy * inverse
        by_p[2] = g[_DEPTH] - (by_p[0] * p[0] + by_p[1] * p[1]) * inverse

        # J holds 1 / z, and x / z and y / z where they are not held near the image
        by_inverse = fx * by_J[0, 0] + fy * by_J[1, 1] - fx * x * by_J[0, 2] - fy * y * by_J[1, 2]
        by_p[2] -= by_inverse * inverse * inverse
        by_x, by_y = -fx * inverse * by_J[0, 2], -fy * inverse * by_J[1, 2]
        if x == p[0] * inverse:
            by_p[0] += by_x * inverse
            by_p[2] -= by_x * x * inverse
        if y == p[1] * inverse:
            by_p[1] += by_y * inverse
            by_p[2] -= by_y * y * inverse

        # 7. Colour, which depends on the direction
        norm = one / math.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
        for k in range(3):
            direction[k] = offset[k] * norm
            by_direction[k] = zero
        spherical_harmonics(direction, basis)
        red = g[_RED] if record[RED] > zero else zero
        green = g[_GREEN] if record[GREEN] > zero else zero
        blue = g[_BLUE] if record[BLUE] > zero else zero
        for k in range(len(basis)):
            by_harmonics[i, k, 0] = basis[k] * red
            by_harmonics[i, k, 1] = basis[k] * green
            by_harmonics[i, k, 2] = basis[k] * blue
            weights[k] = (
                harmonics[i, k, 0] * red + harmonics[i, k, 1] * green + harmonics[i, k, 2] * blue
            )
        harmonics_gradients(direction, weights, by_direction)
        along = (
            by_direction[0] * direction[0]
            + by_direction[1] * direction[1]
            + by_direction[2] * direction[2]
        )

        # 8. p = R^T @ offset, and the offset itself
        for k in range(3):
            by_offset = norm * (by_direction[k] - along * direction[k])
            for axis in range(3):
                by_offset += R[k, axis] * by_p[axis]
                by_R[k, axis] += offset[k] * by_p[axis]
            by_mean[i, k] = by_offset
            by_t[k] -= by_offset

    for k in range(3):
        by_pose[9 + k] += by_t[k]
        for axis in range(3):
            by_pose[3 * k + axis] += by_R[k, axis]


@compiled
def _quaternion_gradients(quaternion, inverse_norm, by_R, gradient):
    """Write the gradient to a quaternion (4,), w first, from that of its rotation matrix (3, 3)."""
    two = quaternion.dtype.type(2)
    w, x = quaternion[0] * inverse_norm, quaternion[1] * inverse_norm
    y, z = quaternion[2] * inverse_norm, quaternion[3] * inverse_norm
    by_w = (
        x * (by_R[2, 1] - by_R[1, 2])
        + y * (by_R[0, 2] - by_R[2, 0])
        + z * (by_R[1, 0] - by_R[0, 1])
    )
    by_x = (
        w * (by_R[2, 1] - by_R[1, 2])
        + y * (by_R[0, 1] + by_R[1, 0])
        + z * (by_R[0, 2] + by_R[2, 0])
    )
    by_y = (
        w * (by_R[0, 2] - by_R[2, 0])
        + x * (by_R[0, 1] + by_R[1, 0])
        + z * (by_R[1, 2] + by_R[2, 1])
    )
    by_z = (
        w * (by_R[1, 0] - by_R[0, 1])
        + x * (by_R[0, 2] + by_R[2, 0])
        + y * (by_R[1, 2] + by_R[2, 1])
    )
    by_x -= two * x * (by_R[1, 1] + by_R[2, 2])
    by_y -= two * y * (by_R[0, 0] + by_R[2, 2])
    by_z -= two * z * (by_R[0, 0] + by_R[1, 1])

    # of the unit quaternion; along it nothing changes
    along = by_w * w + by_x * x + by_y * y + by_z * z
    gradient[0] = two * inverse_norm * (by_w - along * w)
    gradient[1] = two * inverse_norm * (by_x - along * x)
    gradient[2] = two * inverse_norm * (by_y - along * y)
    gradient[3] = two * inverse_norm * (by_z - along * z)
