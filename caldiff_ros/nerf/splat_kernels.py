# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussian splatting on a CPU, compiled by Numba: projection, sorting into tiles, blending.

The method is that of 3D Gaussian Splatting (arXiv 2308.04079): EWA projection, tiles of 16 x 16
pixels, alpha blending from front to back; with the opacities of Mip-Splatting's 2D filter (arXiv
2311.16493), so that a reduced image is what a reduced camera sees. Every kernel works on a part of
its data, releases Python's lock and starts no thread: `rasterizer` shares the parts out.

The kernels take float32, and float64 where gradients are checked. A literal would turn float32 into
float64, so constants are made of the arrays' type.
"""

from __future__ import annotations

import math

import numpy as np

from caldiff_ros.compiling import compiled

#: Edge of a tile, and pixels in a group, which vector instructions blend side by side.
TILE = 16
#: Variance in square pixels that the image's own filter adds to every Gaussian. Trainers without
#: anti-aliasing add the same without taking opacity, and the Gaussians become what looks right so.
FILTER_VARIANCE = 0.3
#: Least opacity that is drawn, and the most.
MIN_ALPHA, MAX_ALPHA = 1 / 255, 0.999
#: A pixel through which less light comes is full; that is looked up after this many Gaussians.
MIN_TRANSMITTANCE = 1e-3
LOOKED_UP_AFTER = 16
#: How far beyond the image's edge, in its size, the projection is linearized where a Gaussian is.
BEYOND_EDGE = 0.15

#: Columns of the projected Gaussians, one cache line of float32 each: place in the image, halves of
#: the inverse covariance's diagonal and its other element, opacity and the exponent at which it is
#: `MIN_ALPHA`, depth, colour, reach along both axes.
U, V, HALF_A, B, HALF_C, OPACITY, EXPONENT, DEPTH, RED, GREEN, BLUE, REACH_U, REACH_V = range(13)
COLUMNS = 16
#: Values of a pixel: colour and depth, weighted by their share in it, and opacity.
CHANNELS = 5

#: exp(-q) is the eighth power of this polynomial in q / 8, right to 5e-7 for 0 <= q <= ln 255.
EXP = tuple(
    np.polynomial.Chebyshev.interpolate(lambda y: np.exp(-y), 5, [0, math.log(255) / 8])
    .convert(kind=np.polynomial.Polynomial)
    .coef.tolist()
)

#: Constants of the real spherical harmonics, in the order and with the signs of 3DGS.
SH0 = 0.28209479177387814
SH1 = 0.4886025119029199
SH2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
SH3 = (0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154)
SH3_XYZ = 1.445305721320277


@compiled
def spherical_harmonics(direction, basis):
    """Write the harmonics of a unit vector (3,) to ``basis`` (1, 4, 9 or 16,)."""
    x, y, z = direction[0], direction[1], direction[2]
    real = direction.dtype.type
    two, three, four = real(2), real(3), real(4)
    n = len(basis)
    basis[0] = SH0

    if n > 1:
        c = real(SH1)
        basis[1], basis[2], basis[3] = -c * y, c * z, -c * x

    if n > 4:
        xx, yy, zz = x * x, y * y, z * z
        c, d, e = real(SH2[0]), real(SH2[1]), real(SH2[2])
        basis[4], basis[5], basis[7] = c * x * y, -c * y * z, -c * x * z
        basis[6] = d * (two * zz - xx - yy)
        basis[8] = e * (xx - yy)

        if n > 9:
            c, d, e = real(SH3[0]), real(SH3[1]), real(SH3[2])
            basis[9] = -c * y * (three * xx - yy)
            basis[10] = d * x * y * z
            basis[11] = -e * y * (four * zz - xx - yy)
            basis[12] = real(SH3[3]) * z * (two * zz - three * xx - three * yy)
            basis[13] = -e * x * (four * zz - xx - yy)
            basis[14] = real(SH3_XYZ) * z * (xx - yy)
            basis[15] = -c * x * (xx - three * yy)


@compiled
def rotation_matrix(quaternion, R):
    """Write the rotation of a quaternion (4,), w first, of any norm, to R (3, 3).

    Returns:
        The inverse of the quaternion's norm.
    """
    w, x, y, z = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    one = quaternion.dtype.type(1)
    two = quaternion.dtype.type(2)
    inverse = one / math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse

    R[0, 0] = one - two * (y * y + z * z)
    R[0, 1] = two * (x * y - w * z)
    R[0, 2] = two * (x * z + w * y)
    R[1, 0] = two * (x * y + w * z)
    R[1, 1] = one - two * (x * x + z * z)
    R[1, 2] = two * (y * z - w * x)
    R[2, 0] = two * (x * z - w * y)
    R[2, 1] = two * (y * z + w * x)
    R[2, 2] = one - two * (x * x + y * y)
    return inverse


@compiled
def image_plane(p, camera, J):
    """Where a point p (3,) in front of a camera is linearized, and its Jacobian (2, 3) to J.

    Args:
        p: in the camera frame.
        camera: fx, fy, cx, cy, width, height, and more.
        J: written to.

    Returns:
        The point's x / z and y / z, held near the image: far outside it the linearization would
        smear a Gaussian over all of it.
    """
    fx, fy, cx, cy, width, height = camera[0], camera[1], camera[2], camera[3], camera[4], camera[5]
    one = p.dtype.type(1)
    zero = p.dtype.type(0)
    beyond = p.dtype.type(BEYOND_EDGE)
    inverse = one / p[2]
    x = min(max(p[0] * inverse, (-beyond * width - cx) / fx), ((one + beyond) * width - cx) / fx)
    y = min(max(p[1] * inverse, (-beyond * height - cy) / fy), ((one + beyond) * height - cy) / fy)

    J[0, 0], J[0, 1], J[0, 2] = fx * inverse, zero, -fx * x * inverse
    J[1, 0], J[1, 1], J[1, 2] = zero, fy * inverse, -fy * y * inverse
    return x, y


@compiled
def reached_tiles(center, reach, size):
    """First tile along an axis of an image that is reached, and the one after the last."""
    first = math.floor(max(center - reach, 0) / TILE)
    last = math.floor(min(center + reach, size - 1) / TILE)
    return first, last + 1


@compiled
def project(gaussians, pose, camera, part, projected):
    """Project Gaussians and drop those that are not seen.

    Args:
        gaussians: means (N, 3), scales (N, 3), quaternions (N, 4), opacities (N,), spherical
            harmonics (N, K, 3).
        pose: R (3, 3) and t (3,) of T_norm_cam.
        camera: fx, fy, cx, cy, width, height, nearest depth, variances of dilation and blur.
        part: first of the Gaussians and the one after the last; what is seen of them is written
            from the first of these places on.
        projected: written to: records (N, COLUMNS); the rectangles of tiles that they reach, first
            column, last + 1, first row, last + 1, (N, 4); the numbers of their Gaussians (N,).

    Returns:
        How many are seen.
    """
    means, scales, quaternions, opacities, harmonics = gaussians
    R, t = pose
    records, rectangles, ids = projected
    real = means.dtype.type
    fx, fy, cx, cy, width, height = camera[0], camera[1], camera[2], camera[3], camera[4], camera[5]
    nearest, dilation, blur = camera[6], camera[7], camera[8]
    zero, half, one, two = real(0), real(0.5), real(1), real(2)
    brightest = real(1 / MIN_ALPHA)
    p, direction = np.empty(3, means.dtype), np.empty(3, means.dtype)
    J, turned = np.empty((2, 3), means.dtype), np.empty((3, 3), means.dtype)
    basis = np.empty(harmonics.shape[1], means.dtype)
    M = np.empty((2, 3), means.dtype)
    n = part[0]

    # pixels that a Gaussian of scale 1 at depth 1 reaches at most, whatever its opacity
    aside = real(1 + BEYOND_EDGE) * max(width / fx, height / fy)
    widest = math.sqrt(two * math.log(brightest) * (one + aside * aside)) * max(fx, fy)
    margin = math.sqrt(two * math.log(brightest) * (dilation + blur))

    for i in range(part[0], part[1]):
        # 1. Is it in front of the camera?
        dx, dy, dz = means[i, 0] - t[0], means[i, 1] - t[1], means[i, 2] - t[2]
        p[2] = R[0, 2] * dx + R[1, 2] * dy + R[2, 2] * dz
        if not p[2] > nearest:
            continue

        p[0] = R[0, 0] * dx + R[1, 0] * dy + R[2, 0] * dz
        p[1] = R[0, 1] * dx + R[1, 1] * dy + R[2, 1] * dz
        inverse = one / p[2]
        u, v = fx * p[0] * inverse + cx, fy * p[1] * inverse + cy

        # 2. Can it reach the image? First of all, as most of a room is behind or beside
        largest = max(scales[i, 0], scales[i, 1], scales[i, 2])
        reach = widest * largest * inverse + margin
        if u + reach < zero or u - reach > width or v + reach < zero or v - reach > height:
            continue

        opacity = opacities[i]
        if not opacity * brightest > one:
            continue

        # 3. Its covariance in the image
        image_plane(p, camera, J)
        rotation_matrix(quaternions[i], turned)
        for row in range(2):
            for k in range(3):
                M[row, k] = J[row, 0] * R[k, 0] + J[row, 1] * R[k, 1] + J[row, 2] * R[k, 2]

        a, b, c = zero, zero, zero
        for k in range(3):
            scale = scales[i, k]
            t0 = scale * (M[0, 0] * turned[0, k] + M[0, 1] * turned[1, k] + M[0, 2] * turned[2, k])
            t1 = scale * (M[1, 0] * turned[0, k] + M[1, 1] * turned[1, k] + M[1, 2] * turned[2, k])
            a += t0 * t0
            b += t0 * t1
            c += t1 * t1

        # 4. Dilation as in its training, and the image's blur, which takes as much of its opacity
        a += dilation
        c += dilation
        sharp = max(a * c - b * b, zero)
        a += blur
        c += blur
        determinant = a * c - b * b
        opacity *= math.sqrt(sharp / determinant)
        if not opacity * brightest > one:
            continue

        exponent = math.log(opacity * brightest)
        reach_u = math.sqrt(two * exponent * a)
        reach_v = math.sqrt(two * exponent * c)
        if u + reach_u < zero or u - reach_u > width or v + reach_v < zero or v - reach_v > height:
            continue

        # 5. Its colour from here
        norm = one / math.sqrt(dx * dx + dy * dy + dz * dz)
        direction[0], direction[1], direction[2] = dx * norm, dy * norm, dz * norm
        spherical_harmonics(direction, basis)
        red, green, blue = half, half, half
        for k in range(len(basis)):
            red += basis[k] * harmonics[i, k, 0]
            green += basis[k] * harmonics[i, k, 1]
            blue += basis[k] * harmonics[i, k, 2]

        record = records[n]
        record[U], record[V] = u, v
        record[HALF_A], record[HALF_C] = half * c / determinant, half * a / determinant
        record[B] = -b / determinant
        record[OPACITY], record[EXPONENT], record[DEPTH] = opacity, exponent, p[2]
        record[RED], record[GREEN], record[BLUE] = max(red, zero), max(green, zero), max(blue, zero)
        record[REACH_U], record[REACH_V] = reach_u, reach_v
        rectangle = rectangles[n]
        rectangle[0], rectangle[1] = reached_tiles(u, reach_u, width)
        rectangle[2], rectangle[3] = reached_tiles(v, reach_v, height)
        ids[n] = i
        n += 1

    return n - part[0]


@compiled
def sort_by_depth(records, first, counts, order):
    """Places of projected Gaussians, nearest first.

    A radix sort by the upper 24 bits of the depth as float32: 16 of its mantissa.

    Args:
        records: see `project`.
        first: where the records of each part begin, (parts,).
        counts: how many there are of each part, (parts,).
        order: written to, as many as there are records.
    """
    bits = 12
    total = counts.sum()
    depths = np.empty(total, np.float32)
    places = np.empty(total, np.int32)
    n = 0

    for part in range(len(first)):
        for place in range(first[part], first[part] + counts[part]):
            depths[n] = records[place, DEPTH]
            places[n] = place
            n += 1

    keys = depths.view(np.uint32)
    half_sorted = np.empty(total, np.int32)
    for digit in range(2):
        shift = np.uint32(7 + digit * bits)
        mask = np.uint32((1 << bits) - 1)
        start = np.zeros((1 << bits) + 1, np.int64)

        for j in range(total):
            start[((keys[j] >> shift) & mask) + 1] += 1
        for k in range(1 << bits):
            start[k + 1] += start[k]

        for step in range(total):
            j = np.int32(step) if digit == 0 else half_sorted[step]
            key = (keys[j] >> shift) & mask
            if digit == 0:
                half_sorted[start[key]] = j
            else:
                order[start[key]] = places[j]
            start[key] += 1


@compiled
def put_in_order(order, part, projected, ordered, ranks):
    """Copy projected Gaussians to their places by depth, so that tiles find neighbours together.

    Args:
        order: see `sort_by_depth`.
        part: first of the places to fill, and the one after the last.
        projected: records, rectangles, and ids, see `project`.
        ordered: the same, written to.
        ranks: which place by depth each projected Gaussian has, written to, (N,).
    """
    for place in range(part[0], part[1]):
        before = order[place]
        for column in range(COLUMNS):
            ordered[0][place, column] = projected[0][before, column]
        for side in range(4):
            ordered[1][place, side] = projected[1][before, side]
        ordered[2][place] = projected[2][before]
        ranks[before] = place


@compiled
def reached_columns(records, place, row):
    """Leftmost and rightmost u that a projected Gaussian reaches in a row of tiles.

    The extent of its ellipse between the upper and the lower edge of the tiles.
    """
    real = records.dtype.type
    zero, two, tile = real(0), real(2), real(TILE)
    a, b, c = two * records[place, HALF_A], records[place, B], two * records[place, HALF_C]
    top, bottom = real(row) * tile - records[place, V], real(row + 1) * tile - records[place, V]
    within, discriminant = two * a * records[place, EXPONENT], b * b - a * c

    # it is widest to the right at one height, and to the left at its opposite
    right, left = records[place, REACH_U], -records[place, REACH_U]
    widest = -b / c * right
    if not top <= widest <= bottom:
        y = top if widest < top else bottom
        right = (-b * y + math.sqrt(max(zero, within + discriminant * y * y))) / a
    if not top <= -widest <= bottom:
        y = top if -widest < top else bottom
        left = (-b * y - math.sqrt(max(zero, within + discriminant * y * y))) / a

    return records[place, U] + left, records[place, U] + right


@compiled
def sort_into_tiles(records, rectangles, grid, part):
    """List the Gaussians of the tiles of some rows.

    Args:
        records: see `project`, nearest first.
        rectangles: of tiles that they reach, see `project`.
        grid: rows and columns of tiles.
        part: which rows: the first, and the one after the last.

    Returns:
        Where the list of each tile begins, and ends, (rows * columns,), and the lists: places of
        records, nearest first.
    """
    n_rows, n_columns = grid
    inverse = records.dtype.type(1 / TILE)
    begins = np.zeros(n_rows * n_columns, np.int64)

    # 1. Room for as many as there are at most
    for place in range(len(records)):
        left, right = rectangles[place, 0], rectangles[place, 1]
        for row in range(max(rectangles[place, 2], part[0]), min(rectangles[place, 3], part[1])):
            for column in range(left, right):
                begins[row * n_columns + column] += 1

    n = 0
    for tile in range(len(begins)):
        count = begins[tile]
        begins[tile] = n
        n += count

    # 2. Those that truly reach the tile
    ends = begins.copy()
    places = np.empty(n, np.int32)
    for place in range(len(records)):
        left, right = rectangles[place, 0], rectangles[place, 1]
        for row in range(max(rectangles[place, 2], part[0]), min(rectangles[place, 3], part[1])):
            first, last = left, right
            if right - left > 1:
                u_min, u_max = reached_columns(records, place, row)
                first = max(left, math.floor(u_min * inverse))
                last = min(right, math.floor(u_max * inverse) + 1)

            for column in range(first, last):
                tile = row * n_columns + column
                places[ends[tile]] = place
                ends[tile] += 1

    return begins, ends, places


@compiled
def tiles_of(part):
    """Numbers of the tiles of a part, see `blend`."""
    first, last, column, step, n_columns = part
    n = 0
    tiles = np.empty((last - first) * n_columns, np.int64)
    for row in range(first, last):
        for k in range(column, n_columns, step):
            tiles[n] = row * n_columns + k
            n += 1

    return tiles[:n]


@compiled
def most_groups_of(group_starts):
    """Groups of the tile that has most of them, see `blend`."""
    most = 0
    for tile in range(len(group_starts) - 1):
        most = max(most, group_starts[tile + 1] - group_starts[tile])

    return most


@compiled
def falloff_numbers(records):
    """Numbers of `falloff` in the type of the records: the polynomial's, 1/8 and 0."""
    real = records.dtype.type
    low = real(EXP[0]), real(EXP[1]), real(EXP[2])
    return low, (real(EXP[3]), real(EXP[4]), real(EXP[5])), real(0.125), real(0)


@compiled
def falloff(q, exponent, numbers):
    """exp(-q) below the exponent, and 0 from there on; without a branch."""
    (e0, e1, e2), (e3, e4, e5), eighth, zero = numbers
    s = q * eighth
    e = e0 + s * (e1 + s * (e2 + s * (e3 + s * (e4 + s * e5))))
    e *= e
    e *= e
    e *= e
    return e if q < exponent else zero


@compiled
def blend(records, tiles, groups, part, image):
    """Blend the Gaussians of tiles.

    Args:
        records: see `project`, nearest first.
        tiles: see `sort_into_tiles`.
        groups: pixels in groups of `TILE`: where those of each tile begin (tiles + 1,), the
            coordinates u and v of their centres (G, TILE), and their places in the image
            (G, TILE), -1 for none.
        part: which tiles: first row, the one after the last, first column, columns to the next,
            and how many columns there are.
        image: written to, (pixels, CHANNELS).
    """
    begins, ends, places = tiles
    group_starts, us, vs, pixels = groups
    real = records.dtype.type
    zero, one = real(0), real(1)
    most, full = real(MAX_ALPHA), real(MIN_TRANSMITTANCE)
    numbers = falloff_numbers(records)
    most_groups = most_groups_of(group_starts)

    # light that comes through, colour and depth, of each pixel of the tile
    through = np.empty((most_groups, TILE), records.dtype)
    sums = np.empty((most_groups, 4, TILE), records.dtype)
    top = np.empty(most_groups, records.dtype)
    bottom = np.empty(most_groups, records.dtype)

    for tile in tiles_of(part):
        first_group = group_starts[tile]
        n_groups = group_starts[tile + 1] - first_group
        if n_groups == 0:
            continue

        for g in range(n_groups):
            top[g], bottom[g] = vs[first_group + g].min(), vs[first_group + g].max()
            for k in range(TILE):
                through[g, k] = one if pixels[first_group + g, k] >= 0 else zero
                for channel in range(4):
                    sums[g, channel, k] = zero

        since = 0
        for j in range(begins[tile], ends[tile]):
            record = records[places[j]]
            u, v = record[U], record[V]
            half_a, b, half_c = record[HALF_A], record[B], record[HALF_C]
            opacity, exponent, depth = record[OPACITY], record[EXPONENT], record[DEPTH]
            red, green, blue = record[RED], record[GREEN], record[BLUE]
            highest, lowest = v - record[REACH_V], v + record[REACH_V]

            for g in range(n_groups):
                if bottom[g] < highest or top[g] > lowest:
                    continue

                at_u, at_v = us[first_group + g], vs[first_group + g]
                light, summed = through[g], sums[g]
                for k in range(TILE):
                    dx, dy = at_u[k] - u, at_v[k] - v
                    q = (half_a * dx + b * dy) * dx + half_c * dy * dy
                    e = falloff(q, exponent, numbers)
                    alpha = min(opacity * e, most)
                    weight = alpha * light[k]
                    light[k] -= weight
                    summed[0, k] += weight * red
                    summed[1, k] += weight * green
                    summed[2, k] += weight * blue
                    summed[3, k] += weight * depth

            since += 1
            if since == LOOKED_UP_AFTER:
                since = 0
                if through[:n_groups].max() < full:
                    break

        for g in range(n_groups):
            for k in range(TILE):
                pixel = pixels[first_group + g, k]
                if pixel >= 0:
                    for channel in range(4):
                        image[pixel, channel] = sums[g, channel, k]
                    image[pixel, 4] = one - through[g, k]
