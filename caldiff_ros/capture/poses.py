# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The steps of structure from motion; each leaves files, and goes on from what is there."""

from __future__ import annotations

from caldiff_ros.capture.keypoints import Workplace, find_keypoints, match
from caldiff_ros.capture.pairs import choose_pairs
from caldiff_ros.capture.pictures import Pictures
from caldiff_ros.capture.reconstruction import reconstruct


def find_poses(taken: Pictures, at: Workplace) -> None:
    """Keypoints, matches and models of the pictures."""
    find_keypoints(taken.pictures, at)
    match(choose_pairs(taken, at), at)
    reconstruct(len(taken.pictures), at)
