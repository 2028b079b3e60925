# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Render, match, PnP, and again from there: reaches the query from where alignment does not.

A render from a better pose looks more like the query and matches better, so it pays to repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.features import FeatureConfig, Features, detect, match
from caldiff_ros.localization.pnp import Matched, PnpConfig, solve_pnp
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.field import RadianceField, Rendering
from caldiff_ros.parallel import in_parallel


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """Features matched between query and render, then PnP-RANSAC on the depth of the render."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    """Of both images."""
    ratio: float = 0.85
    """A match must be this much nearer than the second nearest."""
    near_ratio: float = 0.9
    """The same from the second round on, where only features near each other are compared."""
    window: float = 0.06
    """What is near from the second round on, as a share of the longer side."""
    rounds: int = 4
    """Most renders from one starting pose."""
    least_gain: float = 1.02
    """A round that multiplies the inliers by less is the last."""
    pnp: PnpConfig = field(default_factory=PnpConfig)
    """How a pose is found from matches."""
    min_opacity: float = 0.9
    """Keypoints of the render where it is less opaque have no depth."""
    always_from: int = 240
    """Longer side of the images from which what is trusted already is matched as well: smaller ones
    have few features, which tell less than their pixels do."""
    most_poses: int = 2
    """Poses that are matched until they stand still, and aligned, those with the most inliers."""
    sure_inliers: int = 40
    """With so many no further proposals are needed, and poses with less than half as many are no
    rivals: right ones have hundreds, wrong ones fewer than that."""
    proposals: int = 3
    """Poses from the landmarks of the map, at most, that are tried where none is trusted."""
    landmarks_from: int = 50
    """Levels of the alignment from this size on are superfluous before exact landmarks."""
    aligned_from: int = 100
    """Coarser levels would only lead away from matched poses."""

    def serves(self, query: Query) -> bool:
        """Whether an image is so large that it is matched even where a pose is trusted already."""
        return max(query.camera.width, query.camera.height) >= self.always_from


class Matcher:
    """Matches a query with renders.

    Args:
        field: what is rendered.
        query: the image.
        config: how.

    Attributes:
        features: of the image.
    """

    def __init__(self, field: RadianceField, query: Query, config: MatchingConfig) -> None:
        self.features = detect(query.image, config.features)
        self._field = field
        self._query = query
        self._config = config

    @cached_property
    def detailed_features(self) -> Features:
        """Those of the image with more pixels, where they are in the image; or the same."""
        detailed, camera = self._query.detailed, self._query.camera
        if detailed is None:
            return self.features

        found = detect(detailed, self._config.features)
        scale = [camera.width / detailed.shape[1], camera.height / detailed.shape[0]]
        return Features(found.uv * scale, found.descriptors)

    def match(self, poses: Pose) -> list[Matched]:
        """What renders from ``poses`` (P,) lead to, most inliers first; nothing where they fail."""
        found = [matched for matched in self._round(poses, window_px=None) if matched is not None]
        return sorted(found, key=lambda matched: -matched.inliers)

    def match_near(self, pose: Pose) -> Matched | None:
        """What a render from a pose, (1,), that is nearly right leads to; None where it fails."""
        longer = max(self._query.camera.size)
        [found] = self._round(pose.to(self._query.device), self._config.window * longer)
        return found

    def until_still(self, matched: Matched) -> Matched:
        """Again from where matches led to, as long as there are more of them each time."""
        for _ in range(self._config.rounds - 1):
            again = self.match_near(matched.T_norm_cam)
            if again is None or again.inliers < matched.inliers:
                break

            gain = again.inliers / matched.inliers
            matched = again
            if gain < self._config.least_gain:
                break

        return matched

    def _round(self, poses: Pose, window_px: float | None) -> Sequence[Matched | None]:
        """Render from poses (P,), match, solve."""
        query, config = self._query, self._config
        out = self._field.render(poses, query.camera)
        images = out.rgb_uint8.cpu().numpy()
        ratio = config.ratio if window_px is None else config.near_ratio

        def solve(i: int) -> Matched | None:
            # 1. Match
            of_render = detect(images[i], config.features)
            in_query, in_render = match(self.features, of_render, ratio, window_px)
            uv = self.features.uv[in_query]

            # 2. Lift the keypoints of the render by its depth
            points, solid = lifted(
                of_render.uv[in_render], out[i : i + 1], query.camera, config.min_opacity
            )
            points = poses[i].to('cpu', torch.float64).transform(torch.from_numpy(points)).numpy()

            # 3. Solve for the pose
            return solve_pnp(points, uv[solid], query.camera, config.pnp)

        return in_parallel(solve, [(i,) for i in range(len(poses))], torch.get_num_threads())


def lifted(
    uv: np.ndarray, out: Rendering, camera: Camera, min_opacity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where keypoints (M, 2) of an image, (1, H, W), are in its camera's frame.

    Returns:
        Points (S, 3) float64, and which of the keypoints have one, bool (M,).
    """
    u = np.floor(uv[:, 0]).astype(int).clip(0, camera.width - 1)
    v = np.floor(uv[:, 1]).astype(int).clip(0, camera.height - 1)
    solid = out.opacity[0].cpu().numpy()[v, u] > min_opacity
    u, v, uv = u[solid], v[solid], uv[solid]
    depth = out.depth[0].cpu().numpy()[v, u].astype(np.float64)
    # the depth is that of the pixel, but the keypoint is not at its centre
    x = (uv - [camera.cx, camera.cy]) / [camera.fx, camera.fy]

    return np.column_stack([x * depth[:, None], depth]), solid
