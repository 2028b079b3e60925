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
    """Most frames that are taken from a video."""
    frame_distance: float = 0.03
    """How far the picture of a video moves from one frame that is taken to the next, as a share of
    its width; less where that gives few frames, more where it gives too many."""
    lens: Lens = 'perspective'
    """'fisheye' for lenses with straight lines far from straight, such as action cameras."""
    max_keypoints: int = 8192
    """Strongest keypoints that are kept of an image."""
    max_image_size: int = 1600
    """Keypoints are looked for in images reduced to this longer side, in pixels."""
    exhaustive_up_to: int = 150
    """Up to this many photos, every pair is matched."""
    overlap: int = 10
    """Frames of a video, and more photos than that, are matched with this many after them, ..."""
    look_alikes: int = 15
    """... and with this many others that look alike, which closes loops."""
    seed: int = 0
    """Of all random numbers."""

    def __post_init__(self) -> None:
        for name in ('max_frames', 'frame_distance', 'max_keypoints', 'max_image_size', 'overlap'):
            if not getattr(self, name) > 0:
                raise CaldiffError(
                    f'{name} is {getattr(self, name)}, expected a positive number; give one or '
                    'leave it out'
                )
