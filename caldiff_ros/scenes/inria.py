# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``cameras.json``, which the Gaussian splatting of INRIA writes beside its result."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, checked_pose
from caldiff_ros.scenes.finding import expected_path, find_files, normalized_name
from caldiff_ros.scenes.reading import (
    fitted_to_files,
    read_json_value,
    read_splits,
    warn_skipped,
)
from caldiff_ros.scenes.scene import Frame, Scene


def read_inria(path: Path) -> Scene:
    """Read a scene from its ``cameras.json`` and the images in ``images`` or elsewhere beside it.

    The cameras are optical and without distortion, their principal point is the centre. Numbers in
    ``splits.json`` count the cameras in the order of the file.
    """
    root = path.parent
    cameras = inria_cameras(path)
    listed = [name for name, _, _ in cameras]
    # the file names no folder, and often no extension
    found = find_files(root / 'images', listed, by_name=False)
    if not any(found):
        found = find_files(root, listed)

    names = [normalized_name(name) for name in listed]
    frames = [
        Frame(name, image_path, camera, T_map_cam)
        for name, image_path, (_, camera, T_map_cam) in zip(names, found, cameras, strict=True)
        if image_path is not None
    ]

    def name_of(part: str, number: int) -> str | None:
        return names[number] if 0 <= number < len(names) else None

    missing = [
        expected_path(root / 'images', name)
        for name, image_path in zip(listed, found, strict=True)
        if image_path is None
    ]
    warn_skipped(missing, len(listed))
    frames = fitted_to_files(frames, as_stored=True)  # it reads images as they are stored
    return Scene(root.name, root, frames, read_splits(root, name_of))


def inria_cameras(path: Path) -> list[tuple[str, Camera, np.ndarray]]:
    """Names of the images in a ``cameras.json``, their cameras and T_map_cam (4, 4)."""
    entries = read_json_value(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CaldiffError(f'{path} holds no list of cameras, expected one; export it again')

    return [_camera(entry, f'camera {i} of {path}') for i, entry in enumerate(entries)]


def _camera(entry: dict, where: str) -> tuple[str, Camera, np.ndarray]:
    """Name of the image, its camera and T_map_cam (4, 4)."""
    try:
        name = str(entry['img_name'])
        width, height = int(entry['width']), int(entry['height'])
        camera = Camera(
            width,
            height,
            float(entry['fx']),
            fy=float(entry['fy']),
            cx=width / 2,
            cy=height / 2,
        )
        rotation = np.array(entry['rotation'], np.float64).reshape(3, 3)
        position = np.array(entry['position'], np.float64).reshape(3, 1)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, CaldiffError):
            raise
        raise CaldiffError(
            f'{where} is not understood ({error!r}), expected img_name, width, height, fx, fy, '
            'position and rotation; export it again'
        ) from error

    return name, camera, checked_pose(np.hstack([rotation, position]), where)
