# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""7-Scenes: ``seq-XX/frame-XXXXXX.{color.png,depth.png,pose.txt}``, poses in metres."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from caldiff_ros.geometry import Camera, checked_pose
from caldiff_ros.scenes.intrinsics import read_camera
from caldiff_ros.scenes.pixels import image_size
from caldiff_ros.scenes.reading import (
    fitted_to_files,
    read_json,
    read_splits,
    warn_skipped,
)
from caldiff_ros.scenes.scene import Frame, Scene

#: Focal lengths of the Kinect in pixels of an image 640 wide; the dataset publishes none for
#: colour, these are the ones its users settled on.
_COLOR_FOCAL_640 = 525.0
_DEPTH_FOCAL_640 = 585.0
_METRES_PER_COUNT = 1e-3


def sequence_folders(root: Path) -> list[Path]:
    """The sequences of a scene; the folder itself where it is one sequence."""
    folders = [folder for folder in sorted(root.glob('seq-*')) if folder.is_dir()]
    if folders:
        return folders

    return [root] if any(root.glob('frame-*.pose.txt')) else []


def read_seven_scenes(root: Path) -> Scene:
    """Read a scene of the 7-Scenes dataset.

    The poses are used as they are: optical camera to world, metres. ``camera.json`` beside the
    sequences gives the colour camera where it is not the usual one. ``TrainSplit.txt`` and
    ``TestSplit.txt`` give the subsets. Numbers in ``splits.json`` are frame numbers; where two
    sequences have the same number, give names such as 'seq-01/frame-000003'.
    """
    camera_json = root / 'camera.json'
    intrinsics = read_json(camera_json) if camera_json.is_file() else {}
    subsets = _subsets(root)
    frames: list[Frame] = []
    missing: list[Path] = []

    for folder in sequence_folders(root):
        for pose_path in sorted(folder.glob('frame-*.pose.txt')):
            image_path = _image_path(pose_path)
            if image_path.is_file():
                name = image_path.relative_to(root).as_posix().partition('.color.')[0]
                camera = _color_camera(intrinsics, image_path)
                frames.append(
                    _frame(
                        name, image_path, pose_path, camera=camera, subset=subsets.get(folder.name)
                    )
                )
            else:
                missing.append(image_path)

    warn_skipped(missing, len(frames) + len(missing))
    splits = read_splits(root, _names_by_number(frames))
    return Scene(root.name, root, fitted_to_files(frames), splits, metric=True)


def _image_path(pose_path: Path) -> Path:
    stem = pose_path.name.removesuffix('.pose.txt')
    jpeg = pose_path.with_name(stem + '.color.jpg')
    return jpeg if jpeg.is_file() else pose_path.with_name(stem + '.color.png')


def _frame(
    name: str, image_path: Path, pose_path: Path, camera: Camera, subset: str | None
) -> Frame:
    depth_path = pose_path.with_name(pose_path.name.replace('.pose.txt', '.depth.png'))
    return Frame(
        name=name,
        image_path=image_path,
        camera=camera,
        T_map_cam=checked_pose(_read_matrix(pose_path), str(pose_path)),
        subset=subset,
        depth_path=depth_path if depth_path.is_file() else None,
        depth_unit=_METRES_PER_COUNT,
        depth_camera=_centred_camera(camera.width, camera.height, _DEPTH_FOCAL_640),
    )


def _read_matrix(path: Path) -> np.ndarray | None:
    """The numbers in a pose file; None, which is no pose, where it holds anything else."""
    try:
        return np.array([line.split() for line in path.read_text().split('\n') if line.strip()])
    except (OSError, ValueError):
        return None


def _color_camera(intrinsics: dict, image_path: Path) -> Camera:
    if intrinsics:
        return read_camera(intrinsics, image_path, 'camera.json')
    return _centred_camera(*image_size(image_path), _COLOR_FOCAL_640)


def _centred_camera(width: int, height: int, focal_640: float) -> Camera:
    focal = focal_640 * width / 640
    return Camera(width, height, focal, fy=focal, cx=width / 2, cy=height / 2)


def _subsets(root: Path) -> dict[str, str]:
    """Subset by name of the sequence; the lists name them 'sequence1' for 'seq-01'."""
    subsets = {}
    for subset, file in (('train', 'TrainSplit.txt'), ('test', 'TestSplit.txt')):
        path = root / file
        if path.is_file():
            numbers = re.findall(r'\d+', path.read_text())
            subsets.update({f'seq-{int(number):02d}': subset for number in numbers})

    return subsets


def _names_by_number(frames: list[Frame]) -> Callable[[str, int], str | None]:
    """Names of the frames by their number, where that is unique in the scene."""
    names = defaultdict(list)
    for frame in frames:
        number = re.search(r'(\d+)$', frame.name)
        if number is not None:
            names[int(number[1])].append(frame.name)

    def name_of(part: str, number: int) -> str | None:
        candidates = names.get(number, [])
        return candidates[0] if len(candidates) == 1 else None

    return name_of
