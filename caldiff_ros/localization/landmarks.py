# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features of many views and where they are in the scene.

They propose poses where the search has none, and those of photographs make poses exact. The map
holds no photographs, only what these have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.features import STEPS, Features
from caldiff_ros.localization.pnp import Matched, PnpConfig, solve_pnp
from caldiff_ros.nearest import distinct_nearest, nearest_in_place
from caldiff_ros.parallel import in_parallel

#: A match must be this much nearer than the second nearest in its view.
_RATIO = 0.8
#: The rendered views with the most votes, from which a pose is solved for.
_VIEWS = 8
#: Features of a query that vote, those with the highest contrast, for the first of each view.
_VOTERS, _VOTED = 600, 500
#: Around a pose the landmarks of so many views are compared, those of which most are in the image.
_NEAR_VIEWS = 12
#: What is near where a landmark should be, as a share of the longer side, in round after round.
_WINDOWS = (0.06, 0.03, 0.02)
#: A match must be this much nearer than the nearest one elsewhere; landmarks that are nearer to
#: each other than this, as a share of the longer side, are of one point.
_NEAR_RATIO, _ONE_POINT = 0.9, 0.005


@dataclass(frozen=True)
class Landmarks:
    """F features of each of V views; views with fewer are filled up with empty ones.

    Attributes:
        points: where they are, normalized coordinates, float32 (V, F, 3).
        descriptors: see `Features.stored`, uint8 (V, F, 128); 0 where empty.
        are_exact: whether they were triangulated from photographs, and not rendered.
    """

    points: np.ndarray
    descriptors: np.ndarray
    are_exact: bool = False

    @classmethod
    def of(
        cls, views: list[tuple[np.ndarray, np.ndarray]], most: int, are_exact: bool = False
    ) -> Landmarks:
        """From points (N, 3) and descriptors (N, 128) of each view, at most ``most`` of each."""
        points = np.zeros((len(views), most, 3), np.float32)
        descriptors = np.zeros((len(views), most, 128), np.uint8)
        for i, (xyz, vectors) in enumerate(views):
            n = min(len(xyz), most)
            points[i, :n], descriptors[i, :n] = xyz[:n], vectors[:n]

        return cls(points, descriptors, are_exact)

    @cached_property
    def is_full(self) -> np.ndarray:
        """Which are not empty, bool (V, F)."""
        return np.asarray(self.descriptors.any(-1))

    def save(self, path: Path) -> None:
        """Write a file without what is empty; an OSError if the disk is full."""
        full = self.is_full
        arrays = {
            'points': self.points[full],
            'descriptors': self.descriptors[full],
            'counts': full.sum(1),
            'are_exact': np.array(self.are_exact),
        }
        path.write_bytes(save(arrays))

    @classmethod
    def load(cls, path: Path) -> Landmarks:
        """Read a file that `save` wrote."""
        arrays = load_file(path)
        ends = arrays['counts'].cumsum()[:-1]
        views = zip(
            *(np.split(arrays[name], ends) for name in ('points', 'descriptors')), strict=True
        )
        most = int(arrays['counts'].max(initial=0))
        return cls.of(list(views), most, are_exact=bool(arrays['are_exact']))

    def match(
        self, features: Features, T_norm_cam: Pose, camera: Camera, config: PnpConfig
    ) -> Matched | None:
        """What a query's features say of the pose, (1,), that they were seen from about.

        They are compared with the landmarks that should be near them, and once more with fewer from
        the pose that these lead to, as long as there are more inliers each time.
        """
        longer = max(camera.width, camera.height)
        best: Matched | None = None
        for window in _WINDOWS:
            points, uv = self._seen_near(features, T_norm_cam, camera, window * longer)
            matched = solve_pnp(points, uv, camera, config)
            if matched is None or (best is not None and matched.inliers < best.inliers):
                break
            best, T_norm_cam = matched, matched.T_norm_cam

        return best

    def _seen_near(
        self, features: Features, T_norm_cam: Pose, camera: Camera, reach_px: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Points (M, 3) and where a query shows them, (M, 2), near where a pose, (1,), would."""
        # 1. What would be in the image
        R, t = (part[0].double().numpy() for part in (T_norm_cam.R, T_norm_cam.t))
        x, y, z = np.moveaxis((self.points - t) @ R, -1, 0)
        ahead = np.where(z > 1e-6, z, np.inf)
        u, v = x / ahead * camera.fx + camera.cx, y / ahead * camera.fy + camera.cy
        inside = (z > 1e-6) & (u > 0) & (u < camera.width) & (v > 0) & (v < camera.height)
        inside &= self.is_full
        views = np.argsort(-inside.sum(1), kind='stable')[:_NEAR_VIEWS]
        view, index = inside[views].nonzero()
        view = views[view]
        if len(features) == 0 or len(view) == 0:
            return np.empty((0, 3)), np.empty((0, 2))

        # 2. By their height in the image
        order = np.argsort(v[view, index], kind='stable')
        view, index = view[order], index[order]
        places = np.column_stack([u[view, index], v[view, index]])
        vectors = self.descriptors[view, index].astype(np.float32) / STEPS
        apart_px = _ONE_POINT * max(camera.width, camera.height)

        # 3. The nearest of those that are near
        near, distinct = nearest_in_place(
            (features.uv, features.descriptors),
            (places, vectors),
            reach_px,
            apart_px,
            ratio=_NEAR_RATIO,
            n_threads=torch.get_num_threads(),
        )
        points = self.points[view[near[distinct]], index[near[distinct]]]
        return points.astype(np.float64), features.uv[distinct]

    def propose(self, features: Features, camera: Camera, config: PnpConfig) -> list[Matched]:
        """Poses that matches of a query's features agree on, most inliers first."""
        voters = Features(features.uv[:_VOTERS], features.descriptors[:_VOTERS])
        points, descriptors = self.points[:, :_VOTED], self.descriptors[:, :_VOTED]
        V, F, _ = points.shape
        if len(voters) == 0 or V == 0 or F < 2:
            return []

        # 1. Each feature votes for the views in which it has one clear match
        n_threads = torch.get_num_threads()
        vectors = descriptors.reshape(V * F, -1).astype(np.float32) / STEPS
        likeness = (voters.descriptors @ vectors.T).reshape(len(voters) * V, F)
        nearest, voted = (
            each.reshape(len(voters), V) for each in distinct_nearest(likeness, _RATIO, n_threads)
        )

        # 2. Solve for the pose in the views with the most votes
        def solve(view: int) -> Matched | None:
            rows = voted[:, view]
            xyz = points[view, nearest[rows, view]].astype(np.float64)
            return solve_pnp(xyz, voters.uv[rows], camera, config)

        views = np.argsort(-voted.sum(axis=0), kind='stable')[:_VIEWS].tolist()
        found = in_parallel(solve, [(view,) for view in views], n_threads)
        solved = [matched for matched in found if matched is not None]
        return sorted(solved, key=lambda matched: -matched.inliers)
