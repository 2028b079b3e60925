# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The held-out images of the demo with their true poses.

The folder has ``camera.json`` (width, height, fx, fy, cx, cy of a camera without distortion, in
the convention of `caldiff_ros.geometry.Camera`) and ``poses.json``, a list of objects with
``image`` (path below the folder) and ``T_map_cam`` (4x4, optical camera to map).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera


@dataclass(frozen=True)
class DemoImage:
    """An image file and its true pose, (4, 4) float64, optical camera to map."""

    path: Path
    T_map_cam: np.ndarray

    def read_rgb(self) -> np.ndarray:
        """Colours, uint8 (height, width, 3)."""
        bgr = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise CaldiffError(f'{self.path} is not a readable image; restore the demo folder')

        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def shipped_folder() -> Path:
    """The folder that is installed with the package."""
    from ament_index_python import get_package_share_directory

    return Path(get_package_share_directory('caldiff_ros')) / 'demo'


def read_demo(folder: Path) -> tuple[Camera, list[DemoImage]]:
    """The camera and the images of a demo folder.

    Raises:
        CaldiffError: if the folder is not one.
    """
    try:
        camera = Camera(**json.loads((folder / 'camera.json').read_text()))
        images = [
            DemoImage(folder / entry['image'], np.array(entry['T_map_cam'], dtype=np.float64))
            for entry in json.loads((folder / 'poses.json').read_text())
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CaldiffError(
            f'{folder} is not a demo folder ({error}), expected camera.json and poses.json in it; '
            'give another folder or install the package again'
        ) from error

    if not images:
        raise CaldiffError(f'{folder}/poses.json is empty, expected at least one image')

    return camera, images
