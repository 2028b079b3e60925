# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibrations as users have them: numbers, files of ROS and of nerfstudio."""

import json

import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes.calibration import read_calibration
from caldiff_ros.scenes.intrinsics import read_camera

#: As camera_calibration of ROS writes it.
CAMERA_INFO = """
image_width: 640
image_height: 480
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [500.0, 0.0, 319.5, 0.0, 510.0, 239.0, 0.0, 0.0, 1.0]
distortion_model: {model}
distortion_coefficients:
  rows: 1
  cols: 5
  data: {data}
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
"""
#: As `ros2 topic echo --once` prints a message.
MESSAGE = """
height: 480
width: 640
distortion_model: plumb_bob
d: [0.1, -0.2, 0.001, 0.002, 0.0]
k: [500.0, 0.0, 319.5, 0.0, 510.0, 239.0, 0.0, 0.0, 1.0]
---
"""


def camera_of(given):
    return read_camera(read_calibration(str(given)), None, 'the calibration')


def written(tmp_path, model='plumb_bob', data=(0.1, -0.2, 0.001, 0.002, 0.0)):
    path = tmp_path / 'front.yaml'
    path.write_text(CAMERA_INFO.format(model=model, data=list(data)))
    return path


@pytest.mark.parametrize('message', [False, True])
def test_files_of_ros_count_from_the_centre_of_a_pixel(tmp_path, message):
    path = written(tmp_path)
    if message:
        path.write_text(MESSAGE)
    camera = camera_of(path)
    assert (camera.width, camera.height) == (640, 480)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500, 510, 320, 239.5)
    assert camera.distortion_model == 'plumb_bob'
    assert camera.distortion == (0.1, -0.2, 0.001, 0.002, 0)


@pytest.mark.parametrize(
    ('model', 'data', 'expected', 'coefficients'),
    [
        ('equidistant', (0.1, 0.2, 0.3, 0.4), 'equidistant', (0.1, 0.2, 0.3, 0.4)),
        ('fisheye', (0, 0, 0, 0), 'equidistant', (0, 0, 0, 0)),
        ('plumb_bob', (0, 0, 0, 0, 0), 'none', ()),
        (
            'rational_polynomial',
            (1, 2, 3, 4, 5, 6, 7, 8),
            'rational_polynomial',
            (1, 2, 3, 4, 5, 6, 7, 8),
        ),
    ],
)
def test_lenses_of_ros(tmp_path, model, data, expected, coefficients):
    camera = camera_of(written(tmp_path, model, data))
    assert (camera.distortion_model, camera.distortion) == (expected, coefficients)


@pytest.mark.parametrize(
    ('given', 'model', 'coefficients'),
    [
        ('500,510,320,240', 'none', ()),
        ('500,510,320,240,0.1', 'plumb_bob', (0.1, 0, 0, 0, 0)),
        ('500, 510, 320, 240, 0.1, 0.2, 0.3, 0.4, 0.5', 'plumb_bob', (0.1, 0.2, 0.3, 0.4, 0.5)),
        ('500,510,320,240,1,2,3,4,5,6,7,8', 'rational_polynomial', (1, 2, 3, 4, 5, 6, 7, 8)),
    ],
)
def test_numbers_are_in_the_order_of_opencv(given, model, coefficients):
    content = {**read_calibration(given), 'w': 640, 'h': 480}
    camera = read_camera(content, None, 'the calibration')
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500, 510, 320, 240)
    assert (camera.distortion_model, camera.distortion) == (model, coefficients)


def test_json_has_the_keys_of_nerfstudio(tmp_path):
    path = tmp_path / 'camera.json'
    path.write_text(json.dumps({'w': 60, 'h': 40, 'fl_x': 50, 'cx': 29, 'k1': 0.1}))
    camera = camera_of(path)
    assert (camera.fx, camera.cx, camera.distortion[0]) == (50, 29, 0.1)


@pytest.mark.parametrize(
    ('given', 'sentence'),
    [
        ('500,510,320', "the camera is '500,510,320', expected"),
        ('500,510,320,a', "the camera is '500,510,320,a', expected"),
        (','.join('1' * 13), 'expected a .json or .yaml file, or numbers'),
        ('no.yaml', 'no.yaml is no calibration of a camera'),
    ],
)
def test_what_is_no_calibration_is_refused(given, sentence):
    with pytest.raises(CaldiffError, match=sentence):
        read_calibration(given)


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('', 'is no calibration of a camera'),
        ('a: [1', 'is no calibration of a camera'),
        ('- 1\n- 2', 'is no calibration of a camera'),
        (CAMERA_INFO.format(model='omni', data=[0.1]), "the distortion model 'omni' with 1"),
        (
            CAMERA_INFO.format(model='thin_prism', data=[0.1] * 12),
            "'thin_prism' with 12 coefficients",
        ),
    ],
)
def test_a_file_without_a_calibration_is_refused(tmp_path, text, sentence):
    (tmp_path / 'front.yaml').write_text(text)
    with pytest.raises(CaldiffError, match=sentence) as refused:
        read_calibration(str(tmp_path / 'front.yaml'))
    assert '\n' not in str(refused.value)
