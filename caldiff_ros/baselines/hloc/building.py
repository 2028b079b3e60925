# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The map of the baseline: keypoints of the training images and the points that they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from caldiff_ros.baselines.hloc.config import HlocConfig
from caldiff_ros.baselines.hloc.features import Detector, Features, enlarged_camera
from caldiff_ros.baselines.hloc.matching import Matcher
from caldiff_ros.baselines.hloc.pairs import choose_pairs
from caldiff_ros.baselines.hloc.reconstruction import Points, triangulate
from caldiff_ros.baselines.hloc.training_images import TrainingImages
from caldiff_ros.mapping.context import BuildContext


@dataclass(frozen=True)
class SparseMap:
    """Keypoints of the training images and the points that they show."""

    features: list[Features]
    points: Points

    def state(self) -> dict[str, Any]:
        """Tensors to store."""
        return {
            'features': [(one.uv, one.descriptors) for one in self.features],
            'xyz': torch.from_numpy(self.points.xyz),
            'of_keypoint': [torch.from_numpy(one) for one in self.points.of_keypoint],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> SparseMap:
        """The inverse of `state`."""
        of_keypoint = [one.numpy() for one in state['of_keypoint']]
        features = [Features(*one) for one in state['features']]
        return cls(features, Points(state['xyz'].numpy(), of_keypoint))


def build_sparse_map(
    images: TrainingImages,
    detect: Detector,
    match: Matcher,
    config: HlocConfig,
    context: BuildContext,
) -> SparseMap:
    """Detect, match and triangulate, or load what an earlier run made of the same.

    Args:
        images: the training images.
        detect: finds keypoints.
        match: matches them.
        config: what both were made with.
        context: its work folder keeps the map; receives the progress of the stages keypoints,
            matches and points.
    """
    identity = images.digest(config, context.seed)
    checkpoint = context.checkpoint(f'hloc-{config.features}', identity)
    state = checkpoint.load()
    if state is not None:
        return SparseMap.from_state(state)

    features = []
    for n, (rgb, seen) in enumerate(zip(images.rgb, images.seen, strict=True), 1):
        features.append(detect(rgb, seen))
        context.progress('keypoints', n, len(images.rgb), {'keypoints': float(len(features[-1]))})

    matches = {}
    pairs = choose_pairs(images.T_map_cam, features, config)

    for n, (i, j) in enumerate(pairs, 1):
        matches[i, j] = match(features[i], features[j])
        context.progress('matches', n, len(pairs), {'matches': float(len(matches[i, j]))})

    camera = enlarged_camera(images.camera, config.longer_side)
    points = triangulate(
        features, matches, images.T_map_cam, camera=camera, config=config, seed=context.seed
    )
    context.progress('points', 1, 1, {'points': float(len(points.xyz))})
    built = SparseMap(features, points)
    checkpoint.save(built.state())

    return built
