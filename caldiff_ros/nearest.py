# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbours among descriptors of features, compiled by Numba.

Descriptors have norm 1, so the nearest of them has the largest scalar product.
"""

from __future__ import annotations

import numpy as np

from caldiff_ros.compiling import compiled
from caldiff_ros.parallel import in_parallel, ranges

#: Scalar product with what is not there.
NONE = -1.0


def mutual_matches(likeness: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """What is each other's nearest, and much nearer than the second nearest (Lowe 2004).

    Args:
        likeness: scalar products of descriptors of norm 1, float32 (N, M).
        ratio: most distance of a match, as a share of that to the second nearest in its row.

    Returns:
        Rows and columns of the matches, (K,) each.
    """
    columns, distinct = distinct_nearest(likeness, ratio)
    back = np.empty(likeness.shape[1], np.int32)
    nearest_of_columns(likeness, back)
    rows = np.arange(len(likeness))
    good = distinct & (back[columns] == rows)
    return rows[good], columns[good]


def distinct_nearest(
    likeness: np.ndarray, ratio: float, n_threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """What is nearest, and whether it is much nearer than the second nearest (Lowe 2004).

    Args:
        likeness: scalar products of descriptors of norm 1, float32 (N, M).
        ratio: most distance of the nearest, as a share of that of the second nearest.
        n_threads: how many threads share the work.

    Returns:
        Columns (N,), and bool (N,).
    """
    N = len(likeness)
    nearest = np.empty(N, np.int32)
    best, second = np.empty((2, N), likeness.dtype)
    parts = [(likeness, part, nearest, best, second) for part in ranges(N, n_threads)]
    in_parallel(nearest_two, parts, n_threads)
    distance, to_second = (np.sqrt(np.maximum(2 - 2 * x, 0)) for x in (best, second))
    return nearest, (best > 0) & (distance < ratio * to_second)


def nearest_in_place(
    a: tuple[np.ndarray, np.ndarray],
    b: tuple[np.ndarray, np.ndarray],
    reach_px: float,
    apart_px: float,
    ratio: float,
    n_threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """What is nearest of what is near in the image, and whether nothing elsewhere is as near.

    Args:
        a: coordinates (N, 2) and descriptors (N, D) of keypoints.
        b: the same of landmarks, by their second coordinate, (M, 2) and (M, D).
        reach_px: most distance in the image.
        apart_px: those of ``b`` that are nearer to each other than this are one.
        ratio: most distance of a match's descriptors, as a share of that to the nearest elsewhere.
        n_threads: how many threads share the work.

    Returns:
        Indices into ``b``, (N,), and which of them are such matches, bool (N,).
    """
    N = len(a[0])
    found = np.empty(N, np.int64), *np.empty((2, N), np.float32)
    parts = [(a, b, part, reach_px, apart_px, found) for part in ranges(N, n_threads)]
    in_parallel(nearest_at, parts, n_threads)
    nearest, best, second = found
    distance, to_second = (np.sqrt(np.maximum(2 - 2 * x, 0)) for x in (best, second))
    return nearest, (nearest >= 0) & (distance < ratio * to_second)


@compiled
def nearest_two(likeness, part, nearest, best, second):
    """Nearest and second nearest in each row.

    Args:
        likeness: scalar products, (N, M).
        part: which rows: the first, and the one after the last.
        nearest: columns of the largest, written to, (N,).
        best: the largest, written to, (N,).
        second: the second largest, written to, (N,).
    """
    none = likeness.dtype.type(NONE)
    for i in range(part[0], part[1]):
        at, first, next_one = 0, none, none
        for j in range(likeness.shape[1]):
            x = likeness[i, j]
            if x > next_one:
                if x > first:
                    at, first, next_one = j, x, first
                else:
                    next_one = x

        nearest[i], best[i], second[i] = at, first, next_one


@compiled
def nearest_of_columns(likeness, nearest):
    """Rows of the largest in each column of scalar products (N, M), written to nearest (M,)."""
    best = likeness[0].copy()
    nearest[:] = 0
    for i in range(1, likeness.shape[0]):
        for j in range(likeness.shape[1]):
            if likeness[i, j] > best[j]:
                best[j] = likeness[i, j]
                nearest[j] = i


@compiled
def likeness_within(a, b, reach, likeness):
    """Scalar products of descriptors whose keypoints are near each other, `NONE` of the others.

    Args:
        a: coordinates (N, 2) and descriptors (N, D) of an image.
        b: the same of another, (M, 2) and (M, D).
        reach: most distance, in pixels.
        likeness: written to, (N, M).
    """
    (places, vectors), (other_places, other_vectors) = a, b
    none = likeness.dtype.type(NONE)
    most = reach * reach
    for i in range(len(places)):
        u, v = places[i, 0], places[i, 1]
        for j in range(len(other_places)):
            du, dv = other_places[j, 0] - u, other_places[j, 1] - v
            product = none
            if du * du + dv * dv <= most:
                product -= product
                for k in range(vectors.shape[1]):
                    product += vectors[i, k] * other_vectors[j, k]
            likeness[i, j] = product


@compiled
def nearest_at(a, b, part, reach, apart, found):
    """For each keypoint the landmark with the nearest descriptor, of those that are near it.

    Args:
        a: coordinates (N, 2) and descriptors (N, D) of keypoints.
        b: the same of landmarks, by their second coordinate, (M, 2) and (M, D).
        part: which keypoints: the first, and the one after the last.
        reach: most distance to a landmark, in pixels.
        apart: landmarks that are nearer to each other than this are one.
        found: index of the landmark, written to, (N,); -1 for none. And the scalar products with
            it and with the second nearest of another place, (N,) each; `NONE` without any.
    """
    (places, vectors), (others, other_vectors) = a, b
    nearest, best, second = found
    none = best.dtype.type(NONE)
    for i in range(part[0], part[1]):
        u, v = places[i, 0], places[i, 1]
        at, first, next_one = -1, none, none
        for j in range(np.searchsorted(others[:, 1], v - reach), len(others)):
            if others[j, 1] > v + reach:
                break
            if abs(others[j, 0] - u) > reach:
                continue
            product = none - none
            for k in range(vectors.shape[1]):
                product += vectors[i, k] * other_vectors[j, k]
            if product > first:
                # what was the nearest is now the second, if it is of another place
                if at >= 0 and _are_apart(others, at, j, apart):
                    next_one = max(first, next_one)
                at, first = j, product
            elif product > next_one and _are_apart(others, at, j, apart):
                next_one = product

        nearest[i], best[i], second[i] = at, first, next_one


@compiled
def _are_apart(places, i, j, apart):
    """Whether two of places (M, 2) are farther from each other than that."""
    du, dv = places[i, 0] - places[j, 0], places[i, 1] - places[j, 1]
    return du * du + dv * dv > apart * apart
