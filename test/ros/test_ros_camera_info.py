# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.camera import resample
from caldiff_ros.ros.conversions.camera_info import (
    camera_at,
    camera_from_info,
    info_from_camera,
)

POINTS_CAM = np.array([[0.1, -0.2, 1.0], [-0.5, 0.3, 2.0], [0.0, 0.0, 3.0]])


def info(model='plumb_bob', d=(), **changes) -> CameraInfo:
    fields = {
        'width': 640,
        'height': 480,
        'distortion_model': model,
        'd': [float(value) for value in d],
        'k': [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0],
        'p': [450.0, 0.0, 310.0, 0.0, 0.0, 460.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    }
    return CameraInfo(**{**fields, **changes})


@pytest.mark.parametrize(
    ('model', 'd'),
    [
        ('plumb_bob', (-0.2, 0.05, 0.001, -0.002, 0.01)),
        ('rational_polynomial', (0.1, -0.05, 0.001, 0.002, 0.01, 0.2, -0.03, 0.004)),
        ('rational_polynomial', (0.1, -0.05, 0.001, 0.002, 0.01, 0.2, -0.03, 0.004, 0, 0, 0, 0)),
        (
            'rational_polynomial',
            (0.1, 0, 0, 0, 0.01, 0.2, -0.03, 0, 0.01, 0.02, 0.03, -0.01),
        ),
        ('rational_polynomial', (0.1, 0, 0, 0, 0, 0.2, 0, 0, 0.01, 0, 0.03, 0, 0.02, -0.05)),
        ('plumb_bob', (0.1, -0.05, 0.001, 0.002, 0.01, 0.2, -0.03, 0.004)),
        ('', (-0.2, 0.05, 0.001, -0.002, 0.01)),
        ('', (-0.2, 0.05, 0.001, -0.002)),
        ('Brown Conrady', (-0.2, 0.05, 0.001, -0.002, 0.01)),
    ],
)
def test_projects_as_opencv_does_half_a_pixel_off(model, d):
    message = info(model, d)
    zero = np.zeros(3)
    K = message.k.reshape(3, 3)
    expected, _ = cv2.projectPoints(POINTS_CAM, zero, zero, K, np.array(d, float))
    actual = camera_from_info(message).project(POINTS_CAM)
    np.testing.assert_allclose(actual, expected[:, 0] + 0.5, atol=1e-9)


@pytest.mark.parametrize('name', ['equidistant', 'fisheye', 'Kannala Brandt4', 'kannala_brandt'])
@pytest.mark.parametrize('d', [(0.01, -0.002, 0.003, -0.001), (0.0,) * 4, ()])
def test_equidistant_projects_as_opencv_does(name, d):
    message = info(name, d)
    K, zero = message.k.reshape(3, 3), np.zeros(3)
    D = np.array(d or (0.0,) * 4)
    expected, _ = cv2.fisheye.projectPoints(POINTS_CAM[:, None], zero, zero, K, D)
    actual = camera_from_info(message).project(POINTS_CAM)
    np.testing.assert_allclose(actual, expected[:, 0] + 0.5, atol=1e-9)


def test_thin_prism_and_tilt_undistort_an_image_as_opencv_does():
    d = (0.1, -0.05, 0.001, 0.002, 0.01, 0.2, -0.03, 0.004, 0.02, 0.01, -0.02, 0.01, 0.03, -0.02)
    message = info('rational_polynomial', d)
    smooth = cv2.GaussianBlur(np.random.default_rng(0).random((480, 640, 3)), (0, 0), 8)
    image = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    expected = cv2.undistort(image, message.k.reshape(3, 3), np.array(d))
    camera = camera_from_info(message)
    actual, seen = resample(image, camera, camera.pinhole())
    assert seen[100:380, 100:540].all()
    difference = np.abs(actual.astype(int) - expected)[seen]
    assert np.percentile(difference, 99) <= 2
    assert np.abs(image.astype(int) - expected)[seen].mean() > 5  # the lens does distort


def test_rectified_images_follow_p():
    camera = camera_from_info(info(d=(-0.2, 0.05, 0, 0, 0)), rectified=True)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (450, 460, 310.5, 230.5)
    assert camera.is_pinhole


def test_no_coefficients_are_no_distortion():
    assert camera_from_info(info('', ())).is_pinhole
    assert camera_from_info(info('plumb_bob', (0,) * 5)).is_pinhole


def test_binning_and_region():
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=400, height=320)
    camera = camera_from_info(info(binning_x=2, binning_y=4, roi=roi))
    assert (camera.width, camera.height) == (200, 80)
    # Pixel (i, j) of the image covers columns 100 + 2i .. 102 + 2i and rows 40 + 4j .. 44 + 4j.
    full = camera_from_info(info()).project(POINTS_CAM)
    np.testing.assert_allclose(camera.project(POINTS_CAM), (full - (100, 40)) / (2, 4), atol=1e-9)


@pytest.mark.parametrize(
    ('message', 'sentence'),
    [
        (info(k=[0.0] * 9), r'K\[0\] = 0'),
        (info(k=[500.0, 0, 320.0, 0, float('nan'), 240.0, 0, 0, 1.0]), 'finite'),
        (
            info(k=[-500.0, 0, 320.0, 0, 500.0, 240.0, 0, 0, 1.0]),
            'are -500 and 500, expected',
        ),
        (info('fancy', (0.1,)), "'fancy' is not known"),
        (info('plumb_bob', (0.1, 0.2, 0.3)), 'has 3 coefficients'),
        (info('plumb_bob', (0.1,) * 6), 'has 6 coefficients, expected 8 or 12 or 14'),
        (info('fisheye', (0.1,) * 5), 'equidistant has 5 coefficients'),
        (info('Inverse Brown Conrady', (0.1,) * 5), "'Inverse Brown Conrady' is not known"),
        (info(width=0), '0x480 with numbers 500, 510, 320.5, 240.5, expected a positive size'),
        (info(roi=RegionOfInterest(x_offset=600, width=100, height=10)), 'leaves its 640x480'),
    ],
)
def test_calibrations_that_cannot_be_used_are_refused(message, sentence):
    with pytest.raises(CaldiffError, match=sentence):
        camera_from_info(message)


def test_rectified_without_p_is_refused():
    with pytest.raises(CaldiffError, match=r'P\[0\] = 0'):
        camera_from_info(info(p=[0.0] * 12), rectified=True)


def test_round_trip():
    camera = Camera(64, 48, 50.0, 51.0, 31.0, 25.0, 'equidistant', (0.1, 0.2, 0.3, 0.4))
    assert camera_from_info(info_from_camera(camera, Header())) == camera


def test_camera_is_scaled_to_the_image_where_the_aspect_ratio_agrees():
    camera = Camera(160, 120, 200.0, 200.0, 80.0, 60.0, 'plumb_bob', (0.1, 0.0, 0.0, 0.0, 0.0))
    texts = {'source': 'the map', 'remedy': 'publish camera_info'}
    doubled = Camera(320, 240, 400.0, 400.0, 160.0, 120.0, 'plumb_bob', (0.1, 0.0, 0.0, 0.0, 0.0))
    assert camera_at(camera, 320, 240, **texts) == doubled
    with pytest.raises(CaldiffError, match='320x200 pixels but the camera of the map is 160x120'):
        camera_at(camera, 320, 200, **texts)
