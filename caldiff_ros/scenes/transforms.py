# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of a ``transforms*.json``, the file that Blender, instant-ngp and nerfstudio write."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, checked_pose, opengl_to_optical
from caldiff_ros.scenes.finding import expected_path, find_files, normalized_name
from caldiff_ros.scenes.intrinsics import read_camera
from caldiff_ros.scenes.reading import fitted_to_files, read_json, warn_skipped
from caldiff_ros.scenes.scene import Frame

logger = logging.getLogger(__name__)


def read_transforms(
    path: Path, subset: str | None = None, by_name: bool = True
) -> tuple[dict, list[Frame], list[str]]:
    """Read one file.

    The poses are used as they stand, whatever was applied to them (``applied_transform``).

    Args:
        path: the file.
        subset: of all its frames.
        by_name: see `find_files`.

    Returns:
        The JSON object, the frames whose image exists (poses converted from OpenGL to optical),
        and the names of all frames listed, in the order of the file.
    """
    content = read_json(path)
    entries = _entries(content, path)
    root = path.parent
    listed = [entry['file_path'] for entry in entries]
    found = find_files(root, listed, by_name)
    names = [
        normalized_name(name) if file is None else _frame_name(root, name, file)
        for name, file in zip(listed, found, strict=True)
    ]
    depth_unit = _depth_unit(content, path)
    depths = _companions(root, entries, 'depth_file_path', 'depth')
    masks = _companions(root, entries, 'mask_path', 'mask')

    frames = []
    for i, (entry, image_path) in enumerate(zip(entries, found, strict=True)):
        if image_path is None:
            continue

        camera, T_map_cam = _posed(content, entry, image_path, f'frame {i} of {path}')
        frames.append(
            Frame(
                name=names[i],
                image_path=image_path,
                camera=camera,
                T_map_cam=T_map_cam,
                subset=subset,
                depth_path=depths[i],
                depth_unit=depth_unit,
                mask_path=masks[i],
            )
        )

    missing = [
        expected_path(root, name) for name, file in zip(listed, found, strict=True) if file is None
    ]
    warn_skipped(missing, len(entries))
    return content, fitted_to_files(frames), names


def transforms_cameras(path: Path) -> list[tuple[Camera, np.ndarray]]:
    """Cameras and T_map_cam (4, 4) of all frames, whether their images are there or not."""
    content = read_json(path)
    return [
        _posed(content, entry, path.parent / entry['file_path'], f'frame {i} of {path}')
        for i, entry in enumerate(_entries(content, path))
    ]


def _posed(
    content: dict, entry: dict[str, Any], image_path: Path, where: str
) -> tuple[Camera, np.ndarray]:
    """Camera and optical pose of a frame."""
    camera = read_camera({**content, **_given(entry)}, image_path, where)
    return camera, opengl_to_optical(checked_pose(entry.get('transform_matrix'), where))


def _entries(content: dict, path: Path) -> list[dict[str, Any]]:
    entries = content.get('frames')
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise CaldiffError(f'{path} has no list "frames", expected one; export the dataset again')

    for number, entry in enumerate(entries):
        if not isinstance(entry.get('file_path'), str) or not entry['file_path']:
            raise CaldiffError(
                f'frame {number} of {path} has no "file_path", expected one; export the dataset '
                'again'
            )

    return entries


def _given(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}


def _frame_name(root: Path, name: str, file: Path) -> str:
    """The name in the dataset; without the folders of another machine, where it has these."""
    normalized = PurePosixPath(normalized_name(name))
    is_absolute = normalized.is_absolute() or normalized.parts[0].endswith(':')  # 'C:/...'
    return (
        file.relative_to(root).as_posix()
        if is_absolute and file.is_relative_to(root)
        else str(normalized)
    )


def _depth_unit(content: dict, path: Path) -> float:
    """Map units per count of the depth images; nerfstudio's default is the millimetre."""
    unit = content.get('depth_unit_scale_factor')
    if unit is None:
        return 1e-3

    if not isinstance(unit, (int, float)) or not unit > 0:
        raise CaldiffError(
            f'"depth_unit_scale_factor" in {path} is {unit!r}, expected a positive number; '
            'repair the file'
        )

    return float(unit)


def _companions(
    root: Path, entries: Sequence[dict[str, Any]], key: str, what: str
) -> list[Path | None]:
    """The depth image or mask of every entry, None without; missing files are logged once."""
    listed = {i: entry[key] for i, entry in enumerate(entries) if isinstance(entry.get(key), str)}
    # one mask may be that of all images
    names = list(dict.fromkeys(listed.values()))
    files = dict(zip(names, find_files(root, names, by_name=False), strict=True))

    missing = [name for name in listed.values() if files[name] is None]
    if missing:
        logger.warning(
            '%d of %d frames have no %s because its file is missing, such as %s',
            len(missing),
            len(entries),
            what,
            expected_path(root, missing[0]),
        )

    return [files[listed[i]] if i in listed else None for i in range(len(entries))]
