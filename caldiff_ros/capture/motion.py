# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far the picture of a video moves, and which frames are worth taking."""

from __future__ import annotations

import cv2
import numpy as np

from caldiff_ros.capture.config import CaptureConfig

#: Motion in widths of the picture after which corners are detected again.
_RENEWAL = 0.1
#: Fewer corners say nothing about the motion.
_MIN_CORNERS = 12
#: Widths per second that a picture without corners is taken to move by: a white wall that the
#: camera passes is lost without frames of it, and needs few.
_BLIND_SPEED = 0.1
#: A shorter video would be taken apart frame by frame before it gives fewer than this.
_MIN_FRAMES = 40


class MotionMeter:
    """Follows corners from frame to frame.

    They are always compared with where they were found, so that a camera at rest stays at rest
    whatever the noise.
    """

    def __init__(self) -> None:
        self._moved = 0.0
        self._reference = np.empty((0, 0), np.uint8)
        self._corners: np.ndarray = np.empty((0, 1, 2), np.float32)
        self._latest: np.ndarray = self._corners

    def __call__(self, gray: np.ndarray, seconds: float) -> float:
        """How far the picture has moved since the first frame, in widths.

        Args:
            gray: the next frame, (H, W) uint8, always of the same size.
            seconds: since the frame before.
        """
        if len(self._corners) < _MIN_CORNERS:
            self._moved += _BLIND_SPEED * seconds if self._reference.size else 0.0
            self._renew(gray)
            return self._moved

        found, status, _ = cv2.calcOpticalFlowPyrLK(
            self._reference, gray, self._corners, self._latest.copy(), winSize=(15, 15),
            maxLevel=3, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )  # fmt: skip
        seen = status[:, 0] > 0
        if seen.sum() < _MIN_CORNERS:
            # all that was seen has left the picture
            self._moved += _RENEWAL
            self._renew(gray)
            return self._moved

        shift = np.linalg.norm((found - self._corners)[seen, 0], axis=-1)
        moved = float(np.median(shift)) / gray.shape[1]
        self._latest = found

        if moved > _RENEWAL or seen.mean() < 0.5:
            self._moved += moved
            self._renew(gray)
            return self._moved
        return self._moved + moved

    def _renew(self, gray: np.ndarray) -> None:
        corners = cv2.goodFeaturesToTrack(gray, 200, 0.01, gray.shape[1] / 60)
        self._reference = gray
        self._corners = np.empty((0, 1, 2), np.float32) if corners is None else corners
        self._latest = self._corners


def choose_frames(moved: np.ndarray, sharpness: np.ndarray, config: CaptureConfig) -> np.ndarray:
    """Frames that are about equally far apart, each the sharpest of its stretch.

    Args:
        moved: how far the picture has moved up to each frame, (N,), in widths.
        sharpness: of each frame, (N,).
        config: how far apart, and how many at most.

    Returns:
        Their indices, ascending.
    """
    # shaking back and forth shows nothing new
    moved = np.maximum.accumulate(moved)
    n_stretches = max(int(moved[-1] / config.frame_distance), _MIN_FRAMES)
    n_stretches = min(n_stretches, config.max_frames, len(moved))
    edges = np.linspace(0.0, moved[-1], n_stretches + 1)[1:-1]
    stretch = np.searchsorted(edges, moved, side='right')

    order = np.lexsort((-sharpness, stretch))
    first = np.unique(stretch[order], return_index=True)[1]
    return np.sort(order[first])
