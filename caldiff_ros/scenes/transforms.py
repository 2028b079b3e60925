# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of a ``transforms*.json``, the file that Blender, instant-ngp and nerfstudio write."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import checked_pose, opengl_to_optical
from caldiff_ros.scenes.reading import read_camera, read_json, warn_skipped
from caldiff_ros.scenes.scene import Frame

_EXTENSIONS = ('.png', '.jpg', '.jpeg', '.PNG', '.JPG', '.JPEG')


def read_transforms(path: Path, subset: str | None = None) -> tuple[dict, list[Frame], list[str]]:
    """Read one file.

    Returns:
        The JSON object, the frames whose image exists (poses converted from OpenGL to optical),
        and the names of all frames listed, in the order of the file.
    """
    content = read_json(path)
    entries = content.get('frames')
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise CaldiffError(f'{path} has no list "frames", expected one; export the dataset again')

    frames, names, missing = [], [], []
    for number, entry in enumerate(entries):
        where = f'frame {number} of {path}'
        image_path = _image_path(path.parent, entry, where)
        names.append(str(PurePosixPath(entry['file_path'])))

        if image_path.is_file():
            camera = read_camera({**content, **entry}, image_path, where)
            T_map_cam = opengl_to_optical(checked_pose(entry.get('transform_matrix'), where))
            depth = _depth(path, content, entry)
            frames.append(Frame(names[-1], image_path, camera, T_map_cam, subset, *depth))
        else:
            missing.append(image_path)

    warn_skipped(missing, len(entries))
    return content, frames, names


def _depth(path: Path, content: dict, entry: dict) -> tuple[Path | None, float]:
    """The depth image of an entry and its unit; nerfstudio's default is the millimetre."""
    unit = content.get('depth_unit_scale_factor', 1e-3)
    if not isinstance(unit, (int, float)) or not unit > 0:
        raise CaldiffError(
            f'"depth_unit_scale_factor" in {path} is {unit!r}, expected a positive number; '
            'repair the file'
        )

    depth_path = entry.get('depth_file_path')
    return (path.parent / depth_path if depth_path else None), float(unit)


def _image_path(root: Path, entry: dict, where: str) -> Path:
    """The image of an entry; Blender leaves the extension out."""
    file_path = entry.get('file_path')
    if not isinstance(file_path, str) or not file_path:
        raise CaldiffError(f'{where} has no "file_path", expected one; export the dataset again')

    path = root / file_path
    if path.is_file() or path.suffix in _EXTENSIONS:
        return path

    candidates = [path.with_name(path.name + extension) for extension in _EXTENSIONS]
    return next((c for c in candidates if c.is_file()), candidates[0])
