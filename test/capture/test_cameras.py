# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibrated cameras are kept as they are, and several cameras in a folder are told apart."""

from types import SimpleNamespace

import numpy as np
import pytest
from room_corner import CAMERA, arc, compare, write_jpeg

from caldiff_ros.capture.cameras import calibrated_cameras
from caldiff_ros.capture.capture import Capture
from caldiff_ros.capture.config import CaptureConfig
from caldiff_ros.capture.pictures import Picture
from caldiff_ros.capture.writing import intrinsics
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.scenes import open_scene
from caldiff_ros.scenes.calibration import read_calibration
from caldiff_ros.scenes.intrinsics import read_camera

pycolmap = pytest.importorskip('pycolmap')

CONFIG = CaptureConfig(max_keypoints=400)
#: Of the same view as `CAMERA`, with a lens that bends.
BENT = Camera(320, 240, 300.0, 300.0, 160.0, 120.0, 'plumb_bob', (-0.25, 0.06, 0.002, -0.001, 0.0))


def bent_directions():
    """Directions of the pixels of `BENT`: OpenCV's formula, inverted by iteration."""
    k1, k2, p1, p2, _ = BENT.distortion
    seen = (BENT.pixel_centers() - (BENT.cx, BENT.cy)) / BENT.fx
    x, y = seen.T
    for _ in range(100):
        r2 = x**2 + y**2
        radial = 1 + k1 * r2 + k2 * r2**2
        x, y = (
            (seen[:, 0] - 2 * p1 * x * y - p2 * (r2 + 2 * x**2)) / radial,
            (seen[:, 1] - p1 * (r2 + 2 * y**2) - 2 * p2 * x * y) / radial,
        )
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def take(room, folder, poses, camera):
    for number, T in enumerate(poses):
        write_jpeg(folder / f'{number:02d}.jpg', room.photograph(T, camera))


def test_a_known_calibration_is_kept_and_the_poses_are_those_it_explains(room, tmp_path):
    poses = arc(8)
    bent = SimpleNamespace(width=320, height=240, pixel_directions=bent_directions)
    take(room, tmp_path / 'photos', poses, bent)
    calibration = read_calibration('300,300,160,120,-0.25,0.06,0.002,-0.001')
    report = Capture(
        tmp_path / 'photos', tmp_path / 'room', CONFIG, calibration=calibration, threads=1
    ).run()
    assert report.n_registered == 8
    scene = open_scene(tmp_path / 'room')
    assert scene.frames[0].camera == BENT
    _, off_m, angles = compare(scene, {f'{i:02d}.jpg': T for i, T in enumerate(poses)})
    assert np.median(off_m) < 0.01 and np.median(angles) < 0.3


def test_photos_of_two_cameras_are_of_one_place(room, tmp_path):
    poses = arc(9)
    take(room, tmp_path / 'photos', poses, CAMERA)
    # every third one with another camera: more to see, fewer pixels, taller
    other = Camera(300, 280, 210.0, 210.0, 150.0, 140.0)
    for number in (1, 4, 7):
        write_jpeg(tmp_path / f'photos/{number:02d}.jpg', room.photograph(poses[number], other))

    report = Capture(tmp_path / 'photos', tmp_path / 'room', CONFIG, threads=1).run()
    assert report.n_registered == 9 and len(report.cameras) == 2
    scene = open_scene(tmp_path / 'room')
    _, off_m, angles = compare(scene, {f'{i:02d}.jpg': T for i, T in enumerate(poses)})
    assert np.median(off_m) < 0.02 and np.median(angles) < 0.5
    for number, frame in enumerate(scene.frames):
        true = other if number % 3 == 1 else CAMERA
        assert (frame.camera.width, frame.camera.height) == (true.width, true.height)
        assert frame.camera.fx == pytest.approx(true.fx, rel=0.03)


def picture(width, height, camera='one'):
    return Picture('a.jpg', width, height, camera, sharpness=1.0)


def test_a_calibration_is_scaled_to_the_pictures(tmp_path):
    content = {'w': 640, 'h': 480, 'fl_x': 600, 'cx': 320, 'cy': 242}
    pictures = [picture(320, 240), picture(320, 240), picture(1280, 960, 'two')]
    cameras = calibrated_cameras(pictures, content, tmp_path)
    assert cameras == {
        'one': Camera(320, 240, 300, 300, 160, 121),
        'two': Camera(1280, 960, 1200, 1200, 640, 484),
    }


def test_a_picture_of_another_aspect_is_not_of_the_calibrated_camera(tmp_path):
    content = {'w': 640, 'h': 480, 'fl_x': 600}
    with pytest.raises(CaldiffError, match='is 240x320 pixels and the calibration of 640x480'):
        calibrated_cameras([picture(240, 320)], content, tmp_path)


@pytest.mark.parametrize(
    ('model', 'parameters', 'expected'),
    [
        ('SIMPLE_RADIAL', [50, 29, 21, 0.1], 'OPENCV'),
        ('FULL_OPENCV', [50, 52, 29, 21, 0.1, 0.2, 0.3, 0.4, 0.5, 0, 0, 0], 'OPENCV'),
        ('FULL_OPENCV', [50, 52, 29, 21, 1, 2, 3, 4, 5, 6, 7, 8], 'FULL_OPENCV'),
        ('OPENCV_FISHEYE', [50, 52, 29, 21, 0.1, 0.2, 0.3, 0.4], 'OPENCV_FISHEYE'),
    ],
)
def test_transforms_hold_the_same_lens_as_the_model(model, parameters, expected):
    camera = pycolmap.Camera(camera_id=1, model=model, width=60, height=40, params=parameters)
    content = intrinsics(camera)
    assert content['camera_model'] == expected
    points = np.array([[0.1, -0.2, 1.0], [0.3, 0.2, 1.0], [-0.3, 0.1, 1.0]])
    seen_at = read_camera(content, None, 'test').project(points)
    np.testing.assert_allclose(seen_at, [camera.img_from_cam(point) for point in points], atol=1e-5)
