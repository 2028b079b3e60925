# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Polycam's export of raw data: ``keyframes`` with a JSON file per image, poses in metres."""

from __future__ import annotations

from pathlib import Path

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import checked_pose, opengl_to_optical
from caldiff_ros.scenes.conventions import OPENGL
from caldiff_ros.scenes.intrinsics import read_camera
from caldiff_ros.scenes.reading import fitted_to_files, read_json, read_splits, warn_skipped
from caldiff_ros.scenes.scene import Frame, Scene

#: Folders of images and of their cameras: as Polycam has optimized them, or as ARKit gave them.
_FOLDERS = (('corrected_images', 'corrected_cameras'), ('images', 'cameras'))
_EXTENSIONS = ('.jpg', '.png')
_METRES_PER_COUNT = 1e-3


def polycam_folders(root: Path) -> tuple[Path, Path] | None:
    """The folders of images and cameras of an export, the optimized ones if they are there."""
    for images, cameras in _FOLDERS:
        folders = root / 'keyframes' / images, root / 'keyframes' / cameras
        if all(folder.is_dir() for folder in folders) and any(folders[1].glob('*.json')):
            return folders

    return None


def read_polycam(root: Path, images: Path, cameras: Path) -> Scene:
    """Read an export.

    Poses are used as they are: ARKit's world, y up, metres. Numbers in ``splits.json`` count the
    files of the cameras, sorted by name, as those of the images are.

    Args:
        root: folder of the dataset.
        images: folder of its images.
        cameras: folder of the JSON files beside them.
    """
    frames, names, missing = [], [], []
    for path in sorted(cameras.glob('*.json')):
        names.append(f'{images.relative_to(root).as_posix()}/{path.stem}')
        candidates = [images / f'{path.stem}{extension}' for extension in _EXTENSIONS]
        image_path = next((c for c in candidates if c.is_file()), None)
        if image_path is None:
            missing.append(candidates[0])
        else:
            frames.append(_frame(names[-1], image_path, path, root / 'keyframes' / 'depth'))

    def name_of(part: str, number: int) -> str | None:
        return names[number] if 0 <= number < len(names) else None

    warn_skipped(missing, len(names))
    splits = read_splits(root, name_of)
    frames = fitted_to_files(frames)
    return Scene(root.name, root, frames, splits, metric=True, convention=OPENGL)


def _frame(name: str, image_path: Path, path: Path, depth_folder: Path) -> Frame:
    content = read_json(path)
    try:
        matrix = [[content[f't_{row}{column}'] for column in range(4)] for row in range(3)]
        intrinsics = {
            key: content[polycam_key]
            for key, polycam_key in (
                *(('w', 'width'), ('h', 'height')),
                *(('fl_x', 'fx'), ('fl_y', 'fy'), ('cx', 'cx'), ('cy', 'cy')),
            )
        }
    except KeyError as error:
        raise CaldiffError(
            f'{path} has no {error}, expected a camera of a Polycam export; export it again'
        ) from error

    depth_path = depth_folder / f'{path.stem}.png'
    return Frame(
        name=name,
        image_path=image_path,
        camera=read_camera(intrinsics, image_path, str(path)),
        T_map_cam=opengl_to_optical(checked_pose(matrix, str(path))),
        depth_path=depth_path if depth_path.is_file() else None,
        depth_unit=_METRES_PER_COUNT,
    )
