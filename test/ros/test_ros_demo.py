# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ament_index_python import get_package_prefix
from geometry_msgs.msg import PoseStamped
from visualization_msgs.msg import Marker

from caldiff_ros.console import plain_console
from caldiff_ros.demo.data import DemoImage, read_demo, shipped_folder
from caldiff_ros.demo.figure import choose_panels
from caldiff_ros.demo.holdout import write_demo
from caldiff_ros.demo.results import Result, compare, results_table, verdict
from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes import open_scene
from caldiff_ros.scenes.images import load_image


def result(translation_norm: float, rotation_deg: float) -> Result:
    return Result(
        name='image',
        T_true=np.eye(4),
        T_estimate=np.eye(4),
        translation_norm=translation_norm,
        rotation_deg=rotation_deg,
        seconds=1.0,
    )


def test_errors_are_normalized_distance_and_angle():
    image = DemoImage(shipped_folder() / 'x.png', np.eye(4))
    pose = PoseStamped()
    pose.pose.position.x, pose.pose.position.y = 0.3, 0.4
    half = np.deg2rad(30) / 2
    pose.pose.orientation.z, pose.pose.orientation.w = np.sin(half), np.cos(half)
    outcome = compare(image, pose, unit=5.0, seconds=1.0)
    assert outcome.translation_norm == pytest.approx(0.1)
    assert outcome.rotation_deg == pytest.approx(30)


def test_no_pose_is_never_right():
    image = DemoImage(shipped_folder() / 'x.png', np.eye(4))
    outcome = compare(image, None, unit=5.0, seconds=1.0)
    assert not outcome.within((1e9, 1e9))


@pytest.mark.parametrize(
    ('results', 'right'),
    [
        ([result(0.01, 2)] * 4 + [result(0.05, 10)], True),
        ([result(0.01, 2)] * 3 + [result(0.011, 2)] * 2, False),
        ([result(0.01, 2)] * 9 + [result(0.051, 2)], False),
        ([result(0.01, 2)] * 9 + [result(0.01, 10.1)], False),
    ],
)
def test_all_must_be_right_and_four_of_five_precise(results, right):
    assert verdict(results)[0] is right


def test_the_table_prints_numbers_and_no_markup():
    console = plain_console(width=120, record=True)
    result = Result(
        name='a.png',
        T_true=np.eye(4),
        T_estimate=np.eye(4),
        translation_norm=0.00061,
        rotation_deg=0.06,
        seconds=0.7,
    )
    console.print(results_table([result]))
    shown = console.export_text()
    assert {'0.0006', '0.06', '0.7'} <= set(shown.split())
    assert '[' not in shown


def test_shipped_images_have_the_size_of_their_camera():
    camera, images = read_demo(shipped_folder())
    assert len(images) >= 5
    for image in images:
        assert image.read_rgb().shape == (camera.height, camera.width, 3)
        R = image.T_map_cam[:3, :3]
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-5)
        assert np.linalg.det(R) > 0


def test_held_out_frames_are_read_as_they_were(nerfstudio, tmp_path):
    frames = open_scene(nerfstudio).frames[:3]
    write_demo(frames, tmp_path / 'demo')
    camera, images = read_demo(tmp_path / 'demo')
    assert camera == frames[0].camera
    for image, frame in zip(images, frames, strict=True):
        np.testing.assert_array_equal(image.T_map_cam, frame.T_map_cam)
        np.testing.assert_array_equal(image.read_rgb(), load_image(frame))


def test_frames_of_two_cameras_are_refused(nerfstudio, tmp_path):
    frames = open_scene(nerfstudio).frames[:2]
    frames[1] = replace(frames[1], camera=frames[1].camera.resized(30, 20))
    with pytest.raises(CaldiffError, match='several cameras'):
        write_demo(frames, tmp_path / 'demo')


def test_folder_without_images(tmp_path):
    with pytest.raises(CaldiffError, match='is not a demo folder'):
        read_demo(tmp_path)


def test_figure_shows_the_last_refresh_of_every_stage():
    stages = ['initialization'] + ['diffusion'] * 10 + ['selection'] + ['refinement'] * 4
    markers = [Marker(ns=stage, id=i) for i, stage in enumerate(stages)]
    assert [marker.id for marker in choose_panels(markers)] == [0, 3, 6, 10, 11, 15]


def test_camera_of_the_demo_does_without_torch():
    code = "import sys, caldiff_ros.demo.camera_node; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.stdout.strip() == 'False', result.stderr


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('after_s', [0.3, 2.0], ids=['while it loads', 'while it runs'])
def test_camera_of_the_demo_ends_quickly_and_well(number, after_s):
    executable = Path(get_package_prefix('caldiff_ros')) / 'lib/caldiff_ros/demo_camera'
    process = subprocess.Popen([executable], stderr=subprocess.PIPE, text=True)
    time.sleep(after_s)
    process.send_signal(number)
    try:
        _, log = process.communicate(timeout=5)  # what launch waits for
    finally:
        process.kill()
    assert process.returncode == 0 and 'Traceback' not in log
