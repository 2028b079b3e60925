# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The map of the baseline: keypoints of the training images and the points that they show."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from caldiff_ros.baselines.hloc.config import HlocConfig
from caldiff_ros.baselines.hloc.features import Detector, Features, enlarged_camera
from caldiff_ros.baselines.hloc.matching import Matcher
from caldiff_ros.baselines.hloc.pairs import choose_pairs
from caldiff_ros.baselines.hloc.reconstruction import Pair, Points, triangulate
from caldiff_ros.baselines.hloc.training_images import TrainingImages
from caldiff_ros.mapping.context import BuildContext

#: Seconds of detecting and matching that a stopped run loses at most.
_SAVED_EVERY_S = 120.0


@dataclass(frozen=True)
class SparseMap:
    """Keypoints of the training images and the points that they show."""

    features: list[Features]
    points: Points

    def state(self) -> dict[str, Any]:
        """Tensors to store."""
        return {
            'features': _plain(self.features),
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

    A stopped run goes on from what it had a few minutes before.

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
    state = checkpoint.load() or {}
    if 'xyz' in state:
        return SparseMap.from_state(state)

    features = [Features(*one) for one in state.get('features', [])]
    matches: dict[Pair, Tensor] = state.get('matches', {})
    saved_at = time.monotonic()

    def save_now_and_then() -> None:
        nonlocal saved_at
        if time.monotonic() - saved_at >= _SAVED_EVERY_S:
            checkpoint.save({'features': _plain(features), 'matches': matches})
            saved_at = time.monotonic()

    for n in range(len(features), len(images.rgb)):
        features.append(detect(images.rgb[n], images.seen[n]))
        save_now_and_then()
        found = {'keypoints': float(len(features[-1]))}
        context.progress('keypoints', n + 1, len(images.rgb), found)

    pairs = choose_pairs(images.T_map_cam, features, config)
    for i, j in pairs:
        if (i, j) not in matches:
            matches[i, j] = match(features[i], features[j])
            save_now_and_then()
            found = {'matches': float(len(matches[i, j]))}
            context.progress('matches', len(matches), len(pairs), found)

    camera = enlarged_camera(images.camera, config.longer_side)
    points = triangulate(
        features, matches, images.T_map_cam, camera=camera, config=config, seed=context.seed
    )
    context.progress('points', 1, 1, {'points': float(len(points.xyz))})
    built = SparseMap(features, points)
    checkpoint.save(built.state())

    return built


def _plain(features: list[Features]) -> list[tuple[Tensor, Tensor]]:
    return [(one.uv, one.descriptors) for one in features]
