# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A real localizer process with the shipped map, over DDS."""

import importlib.util
import shutil
import signal
import time

import numpy as np
import pytest
import yaml
from caldiff_ros.msg import Localization
from node_driver import Driver, end, start_localizer
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from caldiff_ros.ros.camera_info import info_from_camera
from caldiff_ros.ros.demo_data import read_demo, shipped_folder
from caldiff_ros.ros.demo_results import REQUIRED, compare
from caldiff_ros.ros.images import rgb_to_image

CAMERA, IMAGES = read_demo(shipped_folder())
MAP = shipped_folder().parent / 'maps/diorama_room'
UNIT = yaml.safe_load((MAP / 'map.yaml').read_text())['normalization']['side']


def good_image(index: int = 0):
    return rgb_to_image(IMAGES[index].read_rgb(), Header())


def good_info():
    return info_from_camera(CAMERA, Header())


@pytest.fixture(scope='module')
def process():
    """One process for the whole module: whatever a test does to it, it has to go on."""
    process = start_localizer(image_timeout=1.5)
    yield process
    end(process)


@pytest.fixture(scope='module')
def module_driver(process):
    driver = Driver()
    driver.wait_for_service(process)
    yield driver
    driver.close()


@pytest.fixture
def driver(module_driver):
    """Nothing received yet, a good camera."""
    driver = module_driver
    driver.image, driver.info = good_image(), good_info()
    driver.forget()
    return driver


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
    assert compare(IMAGES[0], pose, UNIT, 0.0).within(REQUIRED)
    assert localization.status == Localization.LOCALIZED
    assert pose.header == localization.header
    assert pose.header.frame_id == 'map'
    assert pose.pose == localization.pose
    late = driver.subscribe_late('pose')
    driver.wait(lambda: late)
    assert late[0] == pose


def test_relocalize_answers_with_the_outcome_and_shows_the_particles(driver):
    driver.image = good_image(1)
    asked_s = time.time()
    assert driver.relocalize().success
    driver.wait(lambda: driver.received['overlay'] and driver.received['pose'])
    pose, localization = driver.received['pose'][-1], driver.received['localization'][-1]
    assert compare(IMAGES[1], pose, UNIT, 0.0).within(REQUIRED)
    assert pose.header.stamp.sec + 1e-9 * pose.header.stamp.nanosec > asked_s
    covariance = localization.covariance.reshape(6, 6)
    assert (np.linalg.eigvalsh((covariance + covariance.T) / 2) > 0).all()
    assert localization.hypotheses[0].pose == localization.pose
    assert len(localization.stages) == len(localization.stage_seconds) > 0
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


def test_second_request_is_refused_while_one_runs(driver):
    first = driver.ask()
    time.sleep(0.3)
    asked_s = time.monotonic()
    second = driver.relocalize()
    assert time.monotonic() - asked_s < 2 and not first.done()
    assert not second.success and 'a localization is running' in second.message
    driver.wait(first.done, 120)
    assert first.result().success


def bad_image(**changes):
    message = good_image()
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def bad_info(**changes):
    message = good_info()
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ('image', 'info', 'sentence'),
    [
        (bad_image(encoding='rainbow'), good_info(), "'rainbow' is not a known colour"),
        (bad_image(step=7), good_info(), 'step of 7 bytes'),
        (bad_image(data=b'abc'), good_info(), 'has 3 bytes'),
        (bad_image(width=0, height=0, data=b''), good_info(), 'is 0x0 pixels'),
        (rgb_to_image(np.zeros((10, 20, 3), np.uint8), Header()), good_info(), '20x10 pixels'),
        (good_image(), bad_info(k=np.zeros(9)), 'K[0] = 0'),
        (good_image(), bad_info(d=[0.1] * 3), 'has 3 coefficients'),
    ],
)
def test_bad_input_is_answered_with_a_sentence(driver, image, info, sentence):
    driver.image, driver.info = image, info
    time.sleep(0.3)  # until the camera_info is there
    answer = driver.relocalize()
    assert not answer.success and sentence in answer.message
    driver.wait(lambda: driver.received['localization'])
    assert driver.received['localization'][-1].status == Localization.FAILED
    assert not driver.received['pose']


def test_picture_of_something_else_gives_no_pose(driver):
    noise = np.random.default_rng(0).integers(0, 255, (CAMERA.height, CAMERA.width, 3), np.uint8)
    driver.image = rgb_to_image(noise, Header())
    answer = driver.relocalize()
    assert not answer.success
    driver.wait(lambda: driver.received['localization'])
    assert driver.received['localization'][-1].status == Localization.NOT_LOCALIZED
    assert not driver.received['pose']


def test_after_all_that_a_good_image_is_localized(driver):
    time.sleep(0.3)  # until the camera_info is there
    assert driver.relocalize().success


def test_start_passes_over_a_bad_image_and_can_do_without_camera_info():
    process = start_localizer('/second', use_map_camera='true')
    driver = Driver('/second')
    try:
        driver.image = bad_image(encoding='rainbow')
        driver.wait(lambda: driver.received['localization'])
        assert driver.received['localization'][0].status == Localization.FAILED
        driver.image = good_image()
        driver.wait(lambda: driver.received['pose'], 120)
        assert compare(IMAGES[0], driver.received['pose'][0], UNIT, 0.0).within(REQUIRED)
    finally:
        driver.close()
        end(process)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('while_busy', [False, True])
def test_signals_end_it_with_status_zero(number, while_busy):
    process = start_localizer('/ending', localize_on_start=False)
    driver = Driver('/ending')
    try:
        driver.wait_for_service(process)
        if while_busy:
            driver.image, driver.info = good_image(), good_info()
            driver.ask()
            driver.wait(lambda: driver.received['particles'])
        assert end(process, number) == 0, process.log.read_text()
    finally:
        driver.close()
    assert 'Traceback' not in process.log.read_text()


def test_signal_while_it_loads():
    process = start_localizer()
    time.sleep(1.0)
    assert end(process, signal.SIGTERM) == 0, process.log.read_text()


def damaged_map(folder):
    shutil.copytree(MAP, folder)
    (folder / 'field.safetensors').write_bytes(b'damaged')
    return folder


@pytest.mark.parametrize(
    ('parameters', 'sentence'),
    [
        (lambda path: {'map': path / 'nowhere'}, 'nowhere'),
        (lambda path: {'map': damaged_map(path / 'damaged')}, 'damaged'),
        (lambda path: {'preset': 'swift'}, 'swift'),
        (lambda path: {'seed': -1}, 'seed'),
        (lambda path: {'image_timeout': 'soon'}, 'image_timeout'),
    ],
    ids=['missing map', 'damaged map', 'preset', 'out of range', 'type'],
)
def test_start_that_cannot_succeed_ends_with_a_sentence(tmp_path, parameters, sentence):
    process = start_localizer(**parameters(tmp_path))
    assert process.wait(60) != 0
    log = process.log.read_text()
    assert sentence in log and 'Traceback' not in log
