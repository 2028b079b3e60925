# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""RootSIFT features (Arandjelovic and Zisserman 2012) by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np


def root_sift(
    rgb: np.ndarray,
    most: int,
    contrast: float,
    scale: float = 1.0,
    usable: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Features of an image, at most about ``most``, those with the highest contrast first.

    Args:
        rgb: uint8 (H, W, 3).
        most: how many.
        contrast: the least of a feature, as OpenCV counts it.
        scale: by which the image is enlarged first.
        usable: pixels that may have features, bool (H, W); None for all.

    Returns:
        Continuous coordinates in the image, float64 (N, 2), and descriptors of norm 1, float32
        (N, 128).
    """
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if scale > 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    mask = None
    if usable is not None:
        size = gray.shape[1], gray.shape[0]
        mask = cv2.resize(usable.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)

    # precise upscaling: by default OpenCV shifts all keypoints by a quarter of a pixel
    sift = cv2.SIFT.create(nfeatures=most, contrastThreshold=contrast, enable_precise_upscale=True)
    keypoints, descriptors = sift.detectAndCompute(gray, mask)
    if descriptors is None:
        return np.empty((0, 2)), np.empty((0, 128), np.float32)

    order = np.argsort([-keypoint.response for keypoint in keypoints], kind='stable')
    # OpenCV's coordinates are those of pixel centres
    uv = (np.array([keypoint.pt for keypoint in keypoints])[order] + 0.5) / scale
    descriptors = descriptors[order]
    total = descriptors.sum(axis=1, keepdims=True)
    return uv, np.sqrt(descriptors / np.maximum(total, 1e-9))
