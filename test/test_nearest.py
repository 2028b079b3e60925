# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nearest descriptors, against every pair compared."""

import numpy as np

from caldiff_ros.nearest import nearest_in_place

REACH_PX, APART_PX, RATIO = 12.0, 3.0, 0.9


def described(rng, n):
    """Keypoints in an image of 100x80, and descriptors of norm 1."""
    vectors = rng.uniform(0, 1, (n, 8)).astype(np.float32) ** 3
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return rng.uniform(0, [100, 80], (n, 2)), vectors


def test_nearest_of_what_is_near_and_nothing_elsewhere_is_as_near():
    rng = np.random.default_rng(0)
    a, (places, vectors) = described(rng, 200), described(rng, 400)
    order = np.argsort(places[:, 1])
    b = places[order], vectors[order]
    nearest, good = nearest_in_place(a, b, REACH_PX, APART_PX, RATIO, 2)
    outcomes = set()

    for i, (uv, vector) in enumerate(zip(*a, strict=True)):
        near = np.flatnonzero((np.abs(b[0] - uv) <= REACH_PX).all(axis=1))
        if len(near) == 0:
            assert not good[i]
            continue
        distance = np.linalg.norm(b[1][near] - vector, axis=1)
        best = near[np.argmin(distance)]
        elsewhere = np.linalg.norm(b[0][near] - b[0][best], axis=1) > APART_PX
        second = distance[elsewhere].min() if elsewhere.any() else np.inf
        assert nearest[i] == best
        assert good[i] == (distance.min() < RATIO * second)
        outcomes.add((bool(good[i]), bool((~elsewhere).sum() > 1)))

    # matches and none of them, some with another landmark of the same point beside them
    assert len(outcomes) == 4


def test_nothing_is_near():
    rng = np.random.default_rng(1)
    places, vectors = described(rng, 5)
    _, good = nearest_in_place(
        (places, vectors), (places + 1000, vectors), REACH_PX, APART_PX, RATIO, 1
    )
    assert not good.any()
