# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ways in which datasets write poses."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from caldiff_ros.geometry import opengl_to_optical, optical_to_opengl
from caldiff_ros.geometry.transforms import inverse


@dataclass(frozen=True)
class Convention:
    """What a matrix of a dataset takes to what.

    Attributes:
        opengl: whether the camera looks along -z with y up (Blender, nerfstudio); it looks along z
            with y down otherwise (OpenCV, COLMAP).
        world_to_camera: whether the matrix takes the world to the camera (COLMAP).
    """

    opengl: bool = False
    world_to_camera: bool = False

    def __str__(self) -> str:
        direction = 'world-to-camera' if self.world_to_camera else 'camera-to-world'
        axes = 'OpenGL axes (y up, z back)' if self.opengl else 'OpenCV axes (y down, z forward)'
        return f'{direction} with {axes}'

    def read(self, written: np.ndarray) -> np.ndarray:
        """T_map_cam of the optical camera, (4, 4), from the matrix (4, 4) of the dataset."""
        T_map_cam = inverse(written) if self.world_to_camera else written
        return opengl_to_optical(T_map_cam) if self.opengl else T_map_cam

    def write(self, T_map_cam: np.ndarray) -> np.ndarray:
        """The matrix of the dataset, the inverse of `read`."""
        written = optical_to_opengl(T_map_cam) if self.opengl else T_map_cam
        return inverse(written) if self.world_to_camera else written


#: The core's own, and that of 7-Scenes.
OPENCV = Convention()
#: What Blender, nerfstudio and the phone apps write.
OPENGL = Convention(opengl=True)
#: What structure from motion writes.
COLMAP = Convention(world_to_camera=True)
CONVENTIONS = tuple(
    Convention(opengl, world_to_camera)
    for world_to_camera, opengl in itertools.product((False, True), repeat=2)
)
