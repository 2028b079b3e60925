# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The calibration of a camera as a user gives it: numbers, or a file of ROS or nerfstudio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry.distortion import named_distortion
from caldiff_ros.scenes.reading import read_json

_PINHOLE = ('fl_x', 'fl_y', 'cx', 'cy')
#: Names of coefficients in the order of OpenCV.
_PERSPECTIVE = ('k1', 'k2', 'p1', 'p2', 'k3', 'k4', 'k5', 'k6')
_FISHEYE = ('k1', 'k2', 'k3', 'k4')
#: Coefficients of the smaller of OpenCV's perspective models.
_N_PLUMB_BOB = 5
#: ROS counts image coordinates from the centre of the first pixel, we count from its corner.
_HALF_PIXEL = 0.5


def read_calibration(given: str) -> dict[str, Any]:
    """Intrinsics under the keys of nerfstudio, for `read_camera`.

    Args:
        given: fx,fy,cx,cy in pixels, which may be followed by up to eight coefficients in the order
            of OpenCV (k1,k2,p1,p2,k3,k4,k5,k6); a .json file with the keys of nerfstudio; or a
            .yaml file as ROS's camera_calibration writes it, or of a message
            sensor_msgs/CameraInfo.

    Raises:
        CaldiffError: if it is none of these.
    """
    path = Path(given)
    if path.suffix.lower() == '.json':
        return read_json(path)
    if path.suffix.lower() in ('.yaml', '.yml'):
        return _from_ros(path)

    try:
        numbers = [float(number) for number in given.split(',')]
    except ValueError:
        numbers = []

    n_coefficients = len(numbers) - len(_PINHOLE)
    if not 0 <= n_coefficients <= len(_PERSPECTIVE):
        raise CaldiffError(
            f'the camera is {given!r}, expected a .json or .yaml file, or numbers fx,fy,cx,cy in '
            'pixels and coefficients k1,k2,p1,p2,...; correct it'
        )

    return {
        'camera_model': 'OPENCV' if n_coefficients <= _N_PLUMB_BOB else 'FULL_OPENCV',
        **dict(zip((*_PINHOLE, *_PERSPECTIVE), numbers, strict=False)),
    }


def _from_ros(path: Path) -> dict[str, Any]:
    """A camera_info.yaml, or a message as `ros2 topic echo --once` prints it."""
    try:
        with path.open() as stream:
            content = next(yaml.safe_load_all(stream))  # behind a message stands '---'
        is_file = 'camera_matrix' in content
        width, height = (content[f'image_{key}' if is_file else key] for key in ('width', 'height'))
        matrix = content['camera_matrix']['data'] if is_file else content['k']
        distortion = content['distortion_coefficients']['data'] if is_file else content['d']
        fx, _, cx, _, fy, cy, *_ = (float(number) for number in matrix)
        model, coefficients = named_distortion(content['distortion_model'], distortion)
    except (OSError, StopIteration, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0] if str(error) else 'it is empty'
        raise CaldiffError(
            f'{path} is no calibration of a camera ({reason}), expected image_width, camera_matrix '
            'and so on, as camera_calibration of ROS writes them; calibrate again'
        ) from error

    fisheye = model == 'equidistant'
    names = _FISHEYE if fisheye else _PERSPECTIVE
    if model not in ('none', 'plumb_bob', 'rational_polynomial', 'equidistant') or (
        len(coefficients) > len(names)
    ):
        raise CaldiffError(
            f'{path} has the distortion model {content["distortion_model"]!r} with '
            f'{len(coefficients)} coefficients, expected plumb_bob, rational_polynomial with 8, or '
            'equidistant; calibrate with one of these'
        )

    perspective = 'FULL_OPENCV' if len(coefficients) > _N_PLUMB_BOB else 'OPENCV'
    return {
        'camera_model': 'OPENCV_FISHEYE' if fisheye else perspective,
        'w': width,
        'h': height,
        'fl_x': fx,
        'fl_y': fy,
        'cx': cx + _HALF_PIXEL,
        'cy': cy + _HALF_PIXEL,
        **dict(zip(names, coefficients, strict=False)),
    }
