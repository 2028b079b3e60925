# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features of rendered views and where they are in the scene: proposals where the search has none.

The map holds no photographs; what is seen here was rendered from its field.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save

from caldiff_ros.geometry import Camera
from caldiff_ros.localization.features import Features
from caldiff_ros.localization.pnp import Matched, PnpConfig, solve_pnp
from caldiff_ros.nearest import distinct_nearest
from caldiff_ros.parallel import in_parallel

#: A match must be this much nearer than the second nearest in its view.
_RATIO = 0.8
#: The rendered views with the most votes, from which a pose is solved for.
_VIEWS = 8
#: Features of a query that vote, those with the highest contrast.
_VOTERS = 1000
#: What descriptors, 0..1, are multiplied with to be stored.
_STEPS = 255.0


@dataclass(frozen=True)
class Landmarks:
    """F features of each of V rendered views; views with fewer are filled up with empty ones.

    Attributes:
        points: where they are, normalized coordinates, float32 (V, F, 3).
        descriptors: see `Features`, times 255, uint8 (V, F, 128); 0 where empty.
    """

    points: np.ndarray
    descriptors: np.ndarray

    @classmethod
    def of(cls, views: list[tuple[np.ndarray, np.ndarray]], most: int) -> Landmarks:
        """From points (N, 3) and descriptors (N, 128) of each view, at most ``most`` of each."""
        points = np.zeros((len(views), most, 3), np.float32)
        descriptors = np.zeros((len(views), most, 128), np.uint8)
        for i, (xyz, vectors) in enumerate(views):
            n = min(len(xyz), most)
            points[i, :n] = xyz[:n]
            descriptors[i, :n] = np.round(vectors[:n] * _STEPS)

        return cls(points, descriptors)

    def save(self, path: Path) -> None:
        """Write a file; an OSError if the disk is full."""
        path.write_bytes(save({'points': self.points, 'descriptors': self.descriptors}))

    @classmethod
    def load(cls, path: Path) -> Landmarks:
        """Read a file that `save` wrote."""
        return cls(**load_file(path))

    def propose(self, features: Features, camera: Camera, config: PnpConfig) -> list[Matched]:
        """Poses that matches of a query's features agree on, most inliers first."""
        voters = Features(features.uv[:_VOTERS], features.descriptors[:_VOTERS])
        V, F, _ = self.points.shape
        if len(voters) == 0 or V == 0 or F < 2:
            return []

        # 1. Each feature votes for the views in which it has one clear match
        n_threads = torch.get_num_threads()
        vectors = self.descriptors.reshape(V * F, -1).astype(np.float32) / _STEPS
        likeness = (voters.descriptors @ vectors.T).reshape(len(voters) * V, F)
        nearest, voted = (
            each.reshape(len(voters), V) for each in distinct_nearest(likeness, _RATIO, n_threads)
        )

        # 2. Solve for the pose in the views with the most votes
        def solve(view: int) -> Matched | None:
            rows = voted[:, view]
            points = self.points[view, nearest[rows, view]].astype(np.float64)
            return solve_pnp(points, voters.uv[rows], camera, config)

        views = np.argsort(-voted.sum(axis=0), kind='stable')[:_VIEWS].tolist()
        found = in_parallel(solve, [(view,) for view in views], n_threads)
        solved = [matched for matched in found if matched is not None]
        return sorted(solved, key=lambda matched: -matched.inliers)
