# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which images of the map are matched with each other."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch

from caldiff_ros.baselines.hloc.config import HlocConfig
from caldiff_ros.baselines.hloc.features import Features
from caldiff_ros.baselines.hloc.matching import votes

#: Cameras that look further apart than this see little in common.
_MAX_ANGLE_DEG = 45.0


def choose_pairs(
    T_map_cam: np.ndarray, features: list[Features], config: HlocConfig
) -> list[tuple[int, int]]:
    """Pairs i < j of images, in order.

    Args:
        T_map_cam: their poses, (V, 4, 4).
        features: their keypoints.
        config: how many.
    """
    if len(features) <= config.exhaustive_up_to:
        return list(combinations(range(len(features)), 2))

    alike = torch.zeros(len(features), len(features))
    for i, one in enumerate(features[:-1]):
        alike[i, i + 1 :] = votes(one, features[i + 1 :])

    both = (alike + alike.T).numpy()
    np.fill_diagonal(both, -np.inf)
    chosen = set()

    for i, (near, like) in enumerate(zip(_distances(T_map_cam), both, strict=True)):
        near = [j for j in np.argsort(near, kind='stable') if np.isfinite(near[j])]
        like = np.argsort(-like, kind='stable')[: config.retrieval_neighbours]
        for j in (*near[: config.pose_neighbours], *like):
            chosen.add((min(i, int(j)), max(i, int(j))))

    return sorted(chosen)


def _distances(T_map_cam: np.ndarray) -> np.ndarray:
    """Between cameras, (V, V), infinite where they look elsewhere and on the diagonal."""
    centers = T_map_cam[:, :3, 3]
    axes = T_map_cam[:, :3, 2]
    distances = np.linalg.norm(centers[:, None] - centers, axis=-1)
    distances[axes @ axes.T < np.cos(np.radians(_MAX_ANGLE_DEG))] = np.inf
    np.fill_diagonal(distances, np.inf)

    return distances
