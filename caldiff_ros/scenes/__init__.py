# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Posed image sets: what the map is trained on and what localization is judged by."""

from caldiff_ros.scenes.images import load_alpha, load_depth, load_image, load_mask, read_frame
from caldiff_ros.scenes.opening import holds_photographs, open_scene
from caldiff_ros.scenes.pixels import read_image
from caldiff_ros.scenes.scene import Frame, Scene, ScenePoints, Split

__all__ = [
    'Frame',
    'Scene',
    'ScenePoints',
    'Split',
    'holds_photographs',
    'load_alpha',
    'load_depth',
    'load_image',
    'load_mask',
    'open_scene',
    'read_frame',
    'read_image',
]
