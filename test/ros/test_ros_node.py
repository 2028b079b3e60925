# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A real localizer process with the shipped map, over DDS."""

import importlib.util
import signal
import time

import numpy as np
import pytest
import yaml
from caldiff_ros.msg import Localization
from demo_inputs import CAMERA, IMAGES, changed, good_image
from node_driver import Driver, LocalizerProcess
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from caldiff_ros.demo.data import shipped_folder
from caldiff_ros.demo.results import compare
from caldiff_ros.localization.correctness import RIGHT
from caldiff_ros.ros.conversions.images import rgb_to_image

MAP = shipped_folder().parent / 'maps/diorama_room'
UNIT = yaml.safe_load((MAP / 'map.yaml').read_text())['normalization']['side']


@pytest.fixture(scope='module')
def localizer():
    """One process for the whole module."""
    process = LocalizerProcess(image_timeout=1.5)
    yield process
    process.end()


def test_without_images_it_says_so(module_driver):
    assert not module_driver.received['localization']  # it waits
    answer = module_driver.relocalize()
    assert not answer.success
    assert 'no image arrived within 1.5 s' in answer.message


def test_images_without_camera_info(module_driver):
    module_driver.image = good_image()
    answer = module_driver.relocalize()
    assert not answer.success
    assert 'no camera_info arrived' in answer.message
    assert not module_driver.received['pose']


def test_start_localizes_the_first_usable_image(driver):
    driver.wait(lambda: driver.received['pose'] and driver.received['localization'], 120)
    pose, localization = driver.received['pose'][0], driver.received['localization'][-1]
    assert compare(IMAGES[0], pose, UNIT, 0.0).within(RIGHT)
    assert localization.status == Localization.LOCALIZED
    assert pose.header == localization.header
    assert pose.header.frame_id == 'map'
    assert pose.pose == localization.pose
    points, cameras = driver.subscribe_late('map_points'), driver.subscribe_late('map_cameras')
    driver.wait(lambda: points and cameras)
    assert 10_000 < points[0].width <= 20_000 and len(cameras[0].markers[1].points) == 60 * 16
    late = driver.subscribe_late('pose')
    driver.wait(lambda: late)
    assert late[0] == pose


def test_relocalize_answers_with_the_outcome_and_shows_the_particles(driver):
    driver.image = good_image(1)
    asked_s = time.time()
    assert driver.relocalize().success
    driver.wait(lambda: driver.received['overlay'] and driver.received['pose'])
    pose, localization = driver.received['pose'][-1], driver.received['localization'][-1]
    assert compare(IMAGES[1], pose, UNIT, 0.0).within(RIGHT)
    assert pose.header.stamp.sec + 1e-9 * pose.header.stamp.nanosec > asked_s
    covariance = localization.covariance.reshape(6, 6)
    assert (np.linalg.eigvalsh((covariance + covariance.T) / 2) > 0).all()
    assert localization.hypotheses[0].pose == localization.pose
    assert list(localization.stages)[:3] == ['image', 'preparation', 'diffusion']
    assert len(localization.stages) == len(localization.stage_seconds)
    assert all(seconds >= 0 for seconds in localization.stage_seconds)
    check_markers(driver, localization.header)


def check_markers(driver, header):
    refreshes = [message.markers for message in driver.received['particle_markers']]
    assert len(refreshes) > 5
    for markers in refreshes:
        assert markers[0].action == Marker.DELETEALL
        assert all(m.type == Marker.LINE_LIST and m.action == Marker.ADD for m in markers[1:])
        assert all(m.header == header for m in markers)
    stages = [markers[1].ns for markers in refreshes]
    assert stages[0] == 'initialization' and 'diffusion' in stages
    assert refreshes[-1][-1].ns == 'answer'
    poses = driver.received['particles'][-1]
    assert poses.header == header
    assert len(refreshes[-1][1].points) == 16 * len(poses.poses)


@pytest.mark.skipif(
    importlib.util.find_spec('tf2_ros') is None,
    reason='tf2_ros cannot be imported: it is not on PyPI, a ROS distribution has it',
)
def test_transform_goes_from_the_map_to_the_camera_at_the_stamp_of_the_image(driver):
    transforms = driver.subscribe_tf()
    assert driver.relocalize().success
    driver.wait(lambda: transforms and driver.received['pose'])
    pose, transform = driver.received['pose'][-1], transforms[-1].transforms[0]
    assert transform.header == pose.header
    assert transform.child_frame_id == 'camera_optical'
    assert transform.transform.rotation == pose.pose.orientation
    assert transform.transform.translation.x == pose.pose.position.x


def test_picture_of_something_else_gives_no_pose(driver):
    noise = np.random.default_rng(0).integers(0, 255, (CAMERA.height, CAMERA.width, 3), np.uint8)
    driver.image = rgb_to_image(noise, Header())
    answer = driver.relocalize()
    assert not answer.success
    driver.wait(lambda: driver.received['localization'])
    assert driver.received['localization'][-1].status == Localization.NOT_LOCALIZED
    assert not driver.received['pose']


def test_start_passes_over_a_bad_image_and_can_do_without_camera_info():
    process = LocalizerProcess('/second', use_map_camera='true', map_points=0)
    driver = Driver('/second')
    try:
        driver.image = changed(good_image(), encoding='rainbow')
        driver.wait(lambda: driver.received['localization'])
        assert driver.received['localization'][0].status == Localization.FAILED
        driver.image = good_image()
        driver.wait(lambda: driver.received['pose'], 120)
        assert compare(IMAGES[0], driver.received['pose'][0], UNIT, 0.0).within(RIGHT)
        driver.ask()
        driver.wait(lambda: len(driver.received['particles']) > 2)
        assert process.end(signal.SIGTERM) == 0, process.log  # while it is busy
        assert 'Traceback' not in process.log
    finally:
        driver.close()
        process.kill()


@pytest.mark.parametrize('after_s', [0.3, 2.0])
def test_signal_while_it_loads(after_s):
    numbers = (signal.SIGINT, signal.SIGTERM)
    processes = [LocalizerProcess('/ending') for _ in numbers]
    time.sleep(after_s)
    for number, process in zip(numbers, processes, strict=True):
        assert process.end(number) == 0, process.log
        assert 'Traceback' not in process.log
