# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that runs for long: parameters, maps, clocks, restarts, memory; over DDS."""

import shutil
import signal
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from demo_inputs import compressed_image, good_image, good_info
from diagnostic_msgs.msg import DiagnosticStatus
from node_driver import Driver, LocalizerProcess

from caldiff_ros.localization import LocalizationMap

#: Requests in a row, and how long they may take.
MANY, MANY_S = 300, 25.0


@pytest.fixture(scope='module')
def saved_pose(tmp_path_factory):
    return tmp_path_factory.mktemp('saved') / 'pose.json'


@pytest.fixture(scope='module')
def other_map(tiny_map, tmp_path_factory):
    folder = tmp_path_factory.mktemp('maps') / 'other'
    replace(LocalizationMap.load(tiny_map), name='other', frame_id='other_map').save(folder)
    return folder


def test_parameters_are_described(driver):
    description = driver.describe('min_confidence')
    assert 'NOT_LOCALIZED' in description.description
    assert description.floating_point_range[0].to_value == 1
    assert driver.get('particles') == 4


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ({'preset': 'swift'}, "preset is 'swift', expected one of"),
        ({'min_confidence': 1.5}, 'min_confidence'),
        ({'particles': -1}, 'particles'),
        ({'device': 'cpu'}, 'read-only'),
        ({'tf_mode': 'map_to_base'}, 'base_frame is empty'),
        ({'image_timeout': float('nan')}, 'image_timeout out of range'),
        ({'mask': '/nowhere.png'}, 'the mask /nowhere.png cannot be read'),
        ({'map': '/nowhere'}, '/nowhere holds no map.yaml'),
        ({'seed': 'zero'}, 'Wrong parameter type'),
    ],
)
def test_bad_values_are_refused_with_the_reason(driver, values, reason):
    [name] = values
    before = driver.get(name)
    [result] = driver.set(**values)
    assert not result.successful and reason in result.reason
    assert driver.get(name) == before
    assert driver.relocalize().success


def test_damaged_map_is_refused_and_the_old_one_goes_on(driver, tiny_map, tmp_path):
    shutil.copytree(tiny_map, tmp_path / 'damaged')
    (tmp_path / 'damaged/field.safetensors').write_bytes(b'damaged')
    [result] = driver.set(map=str(tmp_path / 'damaged'))
    assert not result.successful and 'missing or damaged' in result.reason
    assert driver.relocalize().success
    assert driver.status('localization')[1]['map'] == 'tiny'


def test_map_set_again_is_read_again_if_its_folder_changed(driver, tiny_map, tmp_path):
    folder = tmp_path / 'edited'
    shutil.copytree(tiny_map, folder)
    assert driver.set(map=str(folder))[0].successful
    driver.wait(lambda: driver.received['map_points'])
    text = (folder / 'map.yaml').read_text()
    (folder / 'map.yaml').write_text(text.replace('frame_id: map', 'frame_id: edited'))
    assert driver.relocalize().success
    assert driver.received['pose'][-1].header.frame_id == 'map'

    assert driver.set(map=str(folder))[0].successful
    assert driver.relocalize().success
    driver.wait(lambda: driver.received['pose'][-1].header.frame_id == 'edited')

    (folder / 'map.yaml').write_text(text.replace('scale: 1.0', 'scale: -1.0'))
    [result] = driver.set(map=str(folder))
    assert not result.successful and 'write a positive number' in result.reason
    assert driver.relocalize().success
    assert driver.set(map=str(tiny_map))[0].successful


def test_mask_of_another_aspect_fails_until_it_is_taken_back(driver, tmp_path):
    cv2.imwrite(str(tmp_path / 'mask.png'), np.full((20, 20), 255, np.uint8))
    assert driver.set(mask=str(tmp_path / 'mask.png'))[0].successful
    answer = driver.relocalize()
    assert not answer.success and 'the mask is 20x20 pixels' in answer.message
    cv2.imwrite(str(tmp_path / 'mask.png'), np.full((24, 32), 255, np.uint8))
    assert driver.set(mask=str(tmp_path / 'mask.png'))[0].successful  # the same path, read again
    assert driver.relocalize().success
    assert driver.set(mask='')[0].successful


def test_map_can_be_changed_while_it_runs(driver, tiny_map, other_map):
    [result] = driver.set(map=str(other_map))
    assert result.successful
    assert driver.relocalize().success
    driver.wait(lambda: driver.received['pose'] and driver.received['map_points'])
    assert driver.received['pose'][-1].header.frame_id == 'other_map'
    assert driver.received['map_points'][-1].header.frame_id == 'other_map'
    assert driver.status('localization')[1]['map'] == 'other'
    assert driver.set(map=str(tiny_map))[0].successful


def test_changing_the_map_ends_what_runs_in_the_old_one(driver, tiny_map, other_map):
    driver.set(preset='paper', particles=2000)
    handle = driver.send_goal(feedback := [])
    driver.wait(lambda: feedback)
    driver.set(map=str(other_map))
    response = driver.result(handle.get_result_async())
    assert response.result.localization.message == 'the map was changed'
    driver.set(map=str(tiny_map), preset='fast', particles=4)


def test_particles_of_the_next_localization_follow_the_parameter(driver):
    driver.set(particles=9)
    handle = driver.send_goal(feedback := [])
    driver.result(handle.get_result_async())
    assert feedback[0].particles == 9
    driver.set(particles=4)


def test_overlay_can_be_switched_off(driver):
    driver.set(publish_overlay=False)
    assert driver.relocalize().success
    time.sleep(0.5)
    assert not driver.received['overlay']
    driver.set(publish_overlay=True)


def test_diagnostics_tell_how_it_is(driver):
    assert driver.relocalize().success
    status, values = driver.status('localizer: localization')
    assert status.level == DiagnosticStatus.OK and status.name == '/localizer: localization'
    assert values['device'] == 'cpu' and values['last status'] == 'LOCALIZED'
    assert int(values['count LOCALIZED']) > 0 and float(values['seconds, 50 %']) > 0
    assert float(values['memory in MB']) > 50


def test_diagnostics_tell_what_arrives(driver):
    driver.wait(lambda: float(driver.status('camera')[1]['images per second']) > 3)  # of 10
    # a publisher of another test that has just ended is known for a while
    driver.wait(lambda: driver.status('camera')[1]['publishers of images'] == '1')
    status, values = driver.status('camera')
    assert (status.level, status.message) == (DiagnosticStatus.OK, 'images arrive')
    assert (values['image topic'], values['camera_info topic']) == ('/image', '/camera_info')
    assert values['camera_info'] == 'received'
    assert float(values['images per second']) < 20 and float(values['age of last image in s']) < 1


def test_missing_images_are_told_once_and_when_they_come_back(driver, localizer):
    told = 'no image arrived on /image'
    driver.wait(lambda: driver.status('camera')[0].level == DiagnosticStatus.OK)
    before = localizer.log.count(told)  # a busy machine may have delayed the first images
    driver.image = None
    for _ in range(2):  # still missing a second later
        driver.wait(lambda: driver.status('camera')[0].level == DiagnosticStatus.WARN)
    assert localizer.log.count(told) == before + 1
    driver.image = good_image()
    driver.wait(lambda: driver.status('camera')[0].level == DiagnosticStatus.OK)
    assert 'images arrive on /image' in localizer.log


def test_last_results_reach_whoever_comes_later(driver):
    assert driver.relocalize().success
    topics = ('pose', 'pose_with_covariance', 'localization', 'map_cameras', 'map_points')
    late = {topic: driver.subscribe_late(topic) for topic in topics}
    driver.wait(lambda: all(late.values()))
    assert late['pose'][0].pose == late['localization'][0].pose


def test_many_requests_in_a_row_leave_memory_as_it_is(driver, localizer):
    early_mb, deadline_s = 0.0, time.monotonic() + MANY_S
    with driver.publishing_every(0.02):  # each request waits for an image of its own
        for i in range(MANY):
            assert driver.relocalize().success
            if i == 30:
                early_mb = localizer.memory_mb()
            if time.monotonic() > deadline_s and i > 60:
                break
    assert localizer.memory_mb() < 1.02 * early_mb
    driver.forget()


@pytest.fixture
def second(tiny_map):
    """A localizer in a namespace of its own, started as the test says."""
    started = []

    def start(**parameters) -> tuple[LocalizerProcess, Driver]:
        given = {
            'map': tiny_map, 'particles': 4, 'min_confidence': 0.0, 'ambiguity_ratio': 1.0,
            'map_points': 0, **parameters,
        }  # fmt: skip
        process = LocalizerProcess('/second', **given)
        driver = Driver('/second')
        started[:] = [process, driver]
        driver.wait_for_node(process)
        return process, driver

    yield start
    process, driver = started
    driver.close()
    if process.poll() is None:
        process.end()


def test_two_nodes_in_two_namespaces_and_compressed_images(driver, second, saved_pose):
    _, other = second(
        image_transport='compressed', localize_on_start='true', saved_pose_path=saved_pose
    )
    driver.forget()
    other.image, other.info = compressed_image(), good_info()
    other.wait(lambda: other.received['pose'] and other.received['overlay'])
    assert not driver.received['localization']
    other.wait(saved_pose.is_file)
    both = {'/second/localizer: localization', '/localizer: localization'}
    other.wait(lambda: both <= {s.name for array in other.diagnostics for s in array.status})
    data = bytes(other.image.data)
    other.image.data = data[: len(data) // 2]
    time.sleep(0.3)
    assert 'cut off or damaged' in other.relocalize().message


def test_saved_pose_is_the_prior_of_the_start_and_time_may_jump(second, saved_pose):
    process, driver = second(
        saved_pose_path=saved_pose, use_sim_time='true', localize_on_start='false', prior_share=1.0
    )
    driver.wait(lambda: 'is the prior of the first localization' in process.log)
    driver.clock_s = 1000.0
    driver.image, driver.info = good_image(), good_info()
    assert driver.relocalize().success
    driver.wait(lambda: driver.received['pose'])
    assert 1000 <= driver.received['pose'][-1].header.stamp.sec < 1100
    driver.clock_s = 500.0  # a bag begins again
    driver.wait(lambda: 'time jumped by -' in process.log)
    driver.forget()
    assert driver.relocalize().success
    driver.wait(lambda: driver.received['pose'])
    assert 500 <= driver.received['pose'][-1].header.stamp.sec < 600
    assert process.end(signal.SIGTERM) == 0 and 'Traceback' not in process.log


def test_bag_that_begins_again_is_localized_again_without_false_warnings(second):
    process, driver = second(
        use_sim_time='true', localize_on_start='true', preset='fast', image_timeout=5.0
    )
    driver.clock_s = 1000.0
    driver.image, driver.info = good_image(), good_info()
    driver.wait(lambda: driver.received['pose'])
    driver.clock_s = 500.0
    driver.wait(lambda: 'time jumped by -' in process.log)
    driver.forget()
    driver.wait(lambda: driver.received['pose'])
    assert 500 <= driver.received['pose'][-1].header.stamp.sec < 600
    time.sleep(1.5)  # until the node has looked for images once more
    assert 'no image arrived' not in process.log.split('time jumped')[1]


def test_what_cannot_work_is_told_at_start(second):
    reliable = {'qos_overrides./second/image.subscription.reliability': 'reliable'}
    process, driver = second(min_confidense=0.3, image_timeout=1.5, **reliable)
    driver.image, driver.info = good_image(), good_info()  # best effort
    driver.wait(lambda: 'offers another RELIABILITY than requested' in process.log)
    assert 'set qos_overrides./second/image.subscription.reliability' in process.log
    assert "'min_confidense' is not known and has no effect, perhaps min_confidence" in process.log
    driver.wait(lambda: 'no image arrived on /second/image' in process.log)
