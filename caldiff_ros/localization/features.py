# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Local features of images and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caldiff_ros.nearest import likeness_within, mutual_matches
from caldiff_ros.sift import root_sift

#: What descriptors, 0..1, are multiplied with to be stored.
STEPS = 255.0


@dataclass(frozen=True)
class Features:
    """Keypoints of an image, those with the highest contrast first.

    Attributes:
        uv: continuous image coordinates, float64 (N, 2).
        descriptors: RootSIFT (Arandjelovic and Zisserman 2012) of norm 1, float32 (N, 128).
    """

    uv: np.ndarray
    descriptors: np.ndarray

    def __len__(self) -> int:
        return len(self.uv)

    @property
    def stored(self) -> np.ndarray:
        """The descriptors times `STEPS`, as maps have them, uint8 (N, 128)."""
        return np.round(self.descriptors * STEPS).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """SIFT."""

    longer_side: int = 400
    """Smaller images are enlarged to this: their keypoints sit near the pixel limit."""
    most: int = 3000
    """Keypoints of an image, those with the highest contrast."""
    contrast_threshold: float = 0.01
    """Lower than OpenCV's default, as renders are smooth."""


def detect(image: np.ndarray, config: FeatureConfig) -> Features:
    """Features of uint8 RGB (H, W, 3)."""
    scale = max(config.longer_side / max(image.shape[:2]), 1.0)
    return Features(*root_sift(image, config.most, config.contrast_threshold, scale))


def match(
    a: Features, b: Features, ratio: float, window_px: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Which features are each other's nearest, and much nearer than the second nearest.

    Args:
        a: features of an image.
        b: those of another.
        ratio: most distance of a match's descriptors, as a share of that to the second nearest.
        window_px: those farther apart in the images than this are not compared; None compares all.

    Returns:
        Indices (M,) into a and into b.
    """
    if len(a) < 2 or len(b) < 2:
        return np.empty(0, int), np.empty(0, int)

    if window_px is None:
        likeness = a.descriptors @ b.descriptors.T
    else:
        likeness = np.empty((len(a), len(b)), np.float32)
        likeness_within((a.uv, a.descriptors), (b.uv, b.descriptors), window_px, likeness)

    return mutual_matches(likeness, ratio)
