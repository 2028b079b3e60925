# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Local features of images and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


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
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if scale > 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)

    # precise upscaling: by default OpenCV shifts all keypoints by a quarter of a pixel
    sift = cv2.SIFT.create(
        nfeatures=config.most,
        contrastThreshold=config.contrast_threshold,
        enable_precise_upscale=True,
    )
    keypoints, descriptors = sift.detectAndCompute(gray, None)
    if descriptors is None:
        return Features(np.empty((0, 2)), np.empty((0, 128), np.float32))

    order = np.argsort([-keypoint.response for keypoint in keypoints], kind='stable')
    uv = (np.array([keypoint.pt for keypoint in keypoints])[order] + 0.5) / scale
    descriptors = descriptors[order]
    total = descriptors.sum(axis=1, keepdims=True)
    return Features(uv, np.sqrt(descriptors / np.maximum(total, 1e-9)))


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

    likeness = a.descriptors @ b.descriptors.T
    if window_px is not None:
        likeness[_squared_distances(a.uv, b.uv) > window_px**2] = -1

    of_a = np.arange(len(a))
    of_b = likeness.argmax(axis=1)
    mutual = likeness.argmax(axis=0)[of_b] == of_a
    good = mutual & are_distinct(likeness, of_b, ratio)
    return of_a[good], of_b[good]


def are_distinct(likeness: np.ndarray, nearest: np.ndarray, ratio: float) -> np.ndarray:
    """Whether what is nearest is much nearer than the second nearest (Lowe 2004).

    Args:
        likeness: scalar products of descriptors, (..., N); those of the nearest are overwritten.
        nearest: indices of the largest of them, (...).
        ratio: most distance of the nearest, as a share of that of the second nearest.
    """
    at = nearest[..., None]
    best = np.take_along_axis(likeness, at, axis=-1)[..., 0]
    np.put_along_axis(likeness, at, -1, axis=-1)
    # of vectors of norm 1
    distance, second = (np.sqrt(np.maximum(2 - 2 * x, 0)) for x in (best, likeness.max(axis=-1)))
    return (best > 0) & (distance < ratio * second)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between points (N, 2) and (M, 2), float32 (N, M)."""
    du, dv = (a[:, None, i].astype(np.float32) - b[None, :, i].astype(np.float32) for i in (0, 1))
    return du * du + dv * dv
