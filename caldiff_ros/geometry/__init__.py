# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses, cameras and the frames they live in."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from caldiff_ros.geometry.camera import Camera
from caldiff_ros.geometry.rigid import checked_pose, opengl_to_optical, optical_to_opengl

if TYPE_CHECKING:
    from caldiff_ros.geometry.frames import Normalization
    from caldiff_ros.geometry.pose import Pose

__all__ = [
    'Camera',
    'Normalization',
    'Pose',
    'checked_pose',
    'opengl_to_optical',
    'optical_to_opengl',
]

#: Modules of the names that need torch; who only wants a camera does not wait for it.
_NEED_TORCH = {
    'Normalization': 'caldiff_ros.geometry.frames',
    'Pose': 'caldiff_ros.geometry.pose',
}


def __getattr__(name: str) -> object:
    if name not in _NEED_TORCH:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_NEED_TORCH[name]), name)
