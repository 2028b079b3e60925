# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which images are matched: all, or neighbours and those that look alike."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from caldiff_ros.capture.config import CaptureConfig
from caldiff_ros.capture.keypoints import NamePair, Workplace
from caldiff_ros.capture.pictures import Pictures

#: Visual words, and descriptors that they are learned from.
_WORDS = 64
_LEARNED_FROM = 50_000
_ROUNDS = 10
#: Images compared at once, which bounds the memory.
_ROWS_AT_ONCE = 256


def choose_pairs(taken: Pictures, at: Workplace) -> list[NamePair]:
    """Pairs of names to match.

    Args:
        taken: the pictures, whose keypoints are in the database.
        at: settings and database.
    """
    names = [picture.name for picture in taken.pictures]
    if not taken.ordered and len(names) <= at.config.exhaustive_up_to:
        return list(combinations(names, 2))

    chosen = neighbours(len(names), at.config.overlap)
    chosen |= look_alikes(describe(names, at), at.config)
    return [(names[i], names[j]) for i, j in sorted(chosen)]


def neighbours(n: int, overlap: int) -> set[tuple[int, int]]:
    """Pairs i < j of ``n`` images that are at most ``overlap`` apart."""
    return {(i, j) for i in range(n) for j in range(i + 1, min(i + overlap + 1, n))}


def look_alikes(vectors: np.ndarray, config: CaptureConfig) -> set[tuple[int, int]]:
    """Pairs i < j of images that look alike and are no neighbours.

    Args:
        vectors: of length 1 or 0, one per image, (N, D) float32.
        config: how many for each image.
    """
    chosen = set()
    numbers = np.arange(len(vectors))
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = numbers[start : start + _ROWS_AT_ONCE]
        alike = vectors[rows] @ vectors.T
        alike[np.abs(rows[:, None] - numbers) <= config.overlap] = -np.inf

        for i, row in zip(rows, alike, strict=True):
            best = np.argsort(-row, kind='stable')[: config.look_alikes]
            chosen |= {(min(i, j), max(i, j)) for j in best if np.isfinite(row[j])}

    return {(int(i), int(j)) for i, j in chosen}


def describe(names: list[str], at: Workplace) -> np.ndarray:
    """What images look like, (N, 64 * 128) float32 of length 1: VLAD (Jégou et al. 2010).

    Reports the stage 'pairs'.

    The visual words are learned from the images themselves; nothing is downloaded. For two images,
    the product says how far the same words depart from their centres in the same way.

    Args:
        names: of the images.
        at: whose database has their descriptors.
    """
    ids = at.image_ids()
    rng = np.random.default_rng(at.config.seed)
    per_image = max(_LEARNED_FROM // len(names), 1)

    with at.opened() as database:
        samples = [_sample(_descriptors(database, ids[name]), per_image, rng) for name in names]
        words = _learn_words(np.concatenate(samples), rng)
        vectors = np.empty((len(names), words.size), np.float32)
        for number, name in enumerate(names):
            vectors[number] = _vlad(_descriptors(database, ids[name]), words)
            at.report('pairs', number + 1, len(names), {})

    return vectors


def _descriptors(database, image_id: int) -> np.ndarray:
    """SIFT descriptors (K, 128) float32 of length 1."""
    stored = database.read_descriptors(image_id).data.astype(np.float32).reshape(-1, 128)
    return stored / np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), 1e-9)


def _sample(descriptors: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return descriptors[rng.permutation(len(descriptors))[:n]]


def _learn_words(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Centres (W, 128) of the descriptors (k-means), as many as there are descriptors for."""
    if not len(samples):
        return np.zeros((1, 128), np.float32)

    words = _sample(samples, _WORDS, rng)
    for _ in range(_ROUNDS):
        nearest = _nearest(samples, words)
        counts = np.bincount(nearest, minlength=len(words))[:, None]
        sums = _sums(samples, nearest, len(words))
        words = np.where(counts > 0, sums / np.maximum(counts, 1), words).astype(np.float32)

    return words


def _nearest(descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Index (K,) of the word nearest to each descriptor (K, 128)."""
    return np.argmax(descriptors @ words.T - 0.5 * (words**2).sum(axis=1), axis=1)


def _sums(vectors: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Sums (G, D) of the vectors (K, D) of each group (K,); a product, as np.add.at is slow."""
    belongs = group == np.arange(n_groups)[:, None]
    return belongs.astype(np.float32) @ vectors


def _vlad(descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
    nearest = _nearest(descriptors, words)
    sums = _sums(descriptors - words[nearest], nearest, len(words))

    # each word counts the same, however often it is seen
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    vector = sums.ravel()
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
