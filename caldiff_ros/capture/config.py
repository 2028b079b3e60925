# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of structure from motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from caldiff_ros.errors import CaldiffError

#: What has to be installed for it, as pyproject.toml names it.
EXTRA = 'capture'

Lens = Literal['perspective', 'fisheye']


@dataclass(frozen=True)
class CaptureConfig:
    """Everything that poses depend on besides the pictures."""

    max_frames: int = 300
    """Maximum number of frames taken from a video."""
    frame_distance: float = 0.03
    """Image motion between one chosen frame and the next, as a fraction of the image width;
    reduced where that gives few frames, increased where it gives too many."""
    lens: Lens = 'perspective'
    """'fisheye' for lenses with straight lines far from straight, such as action cameras."""
    max_keypoints: int = 8192
    """Number of strongest keypoints kept per image."""
    max_image_size: int = 1600
    """Keypoints are detected in images reduced to this longer side, in pixels."""
    exhaustive_up_to: int = 150
    """Up to this many photos, every pair is matched."""
    overlap: int = 10
    """Frames of a video, and more photos than that, are matched with this many after them, ..."""
    look_alikes: int = 15
    """... and with this many others of similar appearance, to close loops."""
    seed: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        for name in ('max_frames', 'frame_distance', 'max_keypoints', 'max_image_size', 'overlap'):
            if not getattr(self, name) > 0:
                raise CaldiffError(
                    f'{name} is {getattr(self, name)}, expected a positive number; give one '
                    'or omit it'
                )
