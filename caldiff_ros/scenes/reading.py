# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the readers share: JSON, poses, intrinsics and splits, each checked."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.scenes.images import image_size
from caldiff_ros.scenes.scene import Split

logger = logging.getLogger(__name__)


_CAMERA_KEYS = (
    *('w', 'h', 'fl_x', 'fl_y', 'cx', 'cy', 'camera_angle_x', 'camera_angle_y'),
    *('k1', 'k2', 'k3', 'k4', 'p1', 'p2'),
)
_PERSPECTIVE_MODELS = ('OPENCV', 'PINHOLE', 'SIMPLE_PINHOLE', 'SIMPLE_RADIAL', 'RADIAL')


def read_json(path: Path) -> dict:
    """The object in a JSON file."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise CaldiffError(
            f'{path} cannot be read as JSON ({error}); repair the file or export it again'
        ) from error

    if not isinstance(content, dict):
        raise CaldiffError(
            f'{path} holds a {type(content).__name__}, expected a JSON object; export it again'
        )

    return content


def read_camera(numbers: dict, image_path: Path, where: str) -> Camera:
    """Camera from the keys of nerfstudio and Blender: fl_x, cx, w, k1, camera_angle_x, ...

    Args:
        numbers: the keys of the frame over those of the file.
        image_path: the image, which tells its size where the numbers do not.
        where: the file, for messages.
    """
    camera_model = numbers.get('camera_model', 'OPENCV')
    try:
        numbers = {key: float(v) for key, v in numbers.items() if key in _CAMERA_KEYS}
    except (TypeError, ValueError) as error:
        raise CaldiffError(
            f'the intrinsics in {where} are not numbers ({error}); repair the file'
        ) from error

    width, height = (
        (numbers['w'], numbers['h']) if {'w', 'h'} <= numbers.keys() else image_size(image_path)
    )
    fx, fy = _focal_lengths(numbers, width, height, where)
    model, distortion = _distortion(numbers, camera_model, where)
    cx, cy = numbers.get('cx', width / 2), numbers.get('cy', height / 2)

    return Camera(
        int(width),
        int(height),
        fx,
        fy=fy,
        cx=cx,
        cy=cy,
        distortion_model=model,
        distortion=distortion,
    )


def _focal_lengths(numbers: dict, width: float, height: float, where: str) -> tuple[float, float]:
    def from_angle(key: str, extent: float) -> float | None:
        return extent / 2 / math.tan(numbers[key] / 2) if numbers.get(key) else None

    fx = numbers.get('fl_x') or from_angle('camera_angle_x', width)
    fy = numbers.get('fl_y') or from_angle('camera_angle_y', height) or fx

    if fx is None or fy is None:
        raise CaldiffError(
            f'{where} has neither fl_x nor camera_angle_x, expected one of them; add the focal '
            'length in pixels'
        )

    return fx, fy


def _distortion(numbers: dict, model: str, where: str) -> tuple[str, tuple[float, ...]]:
    """Model and coefficients in the order of OpenCV; nerfstudio writes them by name."""
    k1, k2, k3, k4, p1, p2 = (numbers.get(key, 0.0) for key in ('k1', 'k2', 'k3', 'k4', 'p1', 'p2'))
    if model == 'OPENCV_FISHEYE':
        return 'equidistant', (k1, k2, k3, k4)

    if model not in _PERSPECTIVE_MODELS or k4:
        raise CaldiffError(
            f'camera_model {model!r} with k4 = {k4} in {where} is not supported, expected OPENCV, '
            'PINHOLE or OPENCV_FISHEYE, k4 with fisheye only; undistort the images first'
        )

    coefficients = (k1, k2, p1, p2, k3)
    return ('plumb_bob', coefficients) if any(coefficients) else ('none', ())


def read_splits(root: Path, name_of: Callable[[str, int], str | None]) -> dict[str, list[Split]]:
    """The variants of every split in ``root/splits.json``; empty without that file.

    Args:
        root: folder of the dataset.
        name_of: name of the frame that a number stands for in the 'train' or 'test' list; None if
            there is no such frame. Frames may also be given by name.
    """
    path = root / 'splits.json'
    if not path.is_file():
        return {}

    def names(part: str, entries: list) -> tuple[str, ...]:
        named = (
            e if isinstance(e, str) else name_of(part, int(e)) or f'{part} {e}' for e in entries
        )
        return tuple(named)

    try:
        return {
            split: [Split(*(names(part, v[part]) for part in ('train', 'test'))) for v in variants]
            for split, variants in read_json(path).items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise CaldiffError(
            f'{path} is not understood ({error!r}), expected for every split a list of variants '
            'with lists of frames "train" and "test"; repair the file'
        ) from error


def warn_skipped(missing: list[Path], total: int) -> None:
    """One warning for all frames whose file is missing."""
    if missing:
        logger.warning(
            '%d of %d frames are skipped because their file is missing, such as %s',
            len(missing),
            total,
            missing[0],
        )
