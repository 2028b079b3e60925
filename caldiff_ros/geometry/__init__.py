# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses, cameras and the frames they live in."""

from caldiff_ros.geometry.camera import Camera
from caldiff_ros.geometry.frames import Normalization, opengl_to_optical, optical_to_opengl
from caldiff_ros.geometry.pose import Pose
from caldiff_ros.geometry.rigid import checked_pose

__all__ = [
    'Camera',
    'Normalization',
    'Pose',
    'checked_pose',
    'opengl_to_optical',
    'optical_to_opengl',
]
