# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Services, action, priors and messages of every quality, over DDS."""

import math
import time

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from caldiff_ros.msg import Localization
from demo_inputs import changed, compressed_image, good_image, good_info, prior
from std_msgs.msg import Header

from caldiff_ros.localization import LocalizationMap
from caldiff_ros.ros.conversions.images import rgb_to_image
from caldiff_ros.ros.conversions.poses import pose_from_msg

SLOW = {'preset': 'paper', 'particles': 2000}
QUICK = {'preset': 'fast', 'particles': 4}


@pytest.fixture
def slow(driver):
    """Localizations that last longer than a test needs."""
    driver.set(**SLOW)
    yield driver
    driver.set(**QUICK)


@pytest.mark.parametrize('service', ['relocalize', 'reinitialize_global_localization'])
def test_services_answer_with_the_true_outcome(driver, service):
    assert driver.relocalize(service).success
    driver.wait(lambda: driver.received['localization'] and driver.received['pose'])
    localization = driver.received['localization'][-1]
    assert localization.status == Localization.LOCALIZED
    assert driver.received['pose'][-1].pose == localization.pose
    driver.wait(lambda: driver.received['pose_with_covariance'])
    with_covariance = driver.received['pose_with_covariance'][-1]
    assert with_covariance.header == localization.header
    np.testing.assert_array_equal(with_covariance.pose.covariance, localization.covariance)


@pytest.mark.parametrize(
    ('values', 'status'),
    [
        ({'min_confidence': 1.0}, Localization.NOT_LOCALIZED),
        ({'ambiguity_ratio': 1000.0}, Localization.AMBIGUOUS),
    ],
)
def test_no_pose_without_trust(driver, values, status):
    driver.set(**values)
    try:
        assert not driver.relocalize().success
        driver.wait(lambda: driver.received['localization'])
        assert driver.received['localization'][-1].status == status
        driver.wait(lambda: driver.received['overlay'])
        assert not driver.received['pose'] and not driver.received['pose_with_covariance']
    finally:
        driver.set(min_confidence=0.0, ambiguity_ratio=1.0)


def test_action_tells_its_progress_and_ends_with_the_message(driver):
    feedback: list = []
    handle = driver.send_goal(feedback)
    response = driver.result(handle.get_result_async())
    assert response.status == GoalStatus.STATUS_SUCCEEDED
    assert response.result.localization.status == Localization.LOCALIZED
    driver.wait(lambda: driver.received['localization'])
    assert response.result.localization == driver.received['localization'][-1]
    assert (feedback[0].stage, feedback[0].particles) == ('initialization', 4)
    assert math.isnan(feedback[0].best_error)
    progress = [step.progress for step in feedback]
    assert progress == sorted(progress) and progress[-1] == 1
    assert math.isfinite(feedback[-1].best_error)


def test_feedback_of_a_goal_begins_afresh(driver):
    for _ in range(2):
        handle = driver.send_goal(feedback := [])
        driver.result(handle.get_result_async())
        assert feedback[0].stage == 'initialization'


def test_cancel_stops_it(slow):
    handle = slow.send_goal(feedback := [])
    slow.wait(lambda: feedback)
    slow.forget()
    asked_s = time.monotonic()
    assert slow.result(handle.cancel_goal_async()).goals_canceling
    response = slow.result(handle.get_result_async())
    assert time.monotonic() - asked_s < 5
    assert response.status == GoalStatus.STATUS_CANCELED
    assert response.result.localization.message == 'the goal was cancelled'
    assert not slow.received['localization'] and not slow.received['pose']


def test_cancel_ends_the_wait_for_an_image(driver):
    driver.set(image_timeout=60.0)
    driver.image = None
    try:
        time.sleep(0.3)  # until the last image is older than the request
        handle = driver.send_goal([])
        time.sleep(0.3)
        driver.result(handle.cancel_goal_async())
        response = driver.result(handle.get_result_async(), 10)
        assert response.status == GoalStatus.STATUS_CANCELED
    finally:
        driver.set(image_timeout=1.5)


def test_busy_is_answered_at_once_with_the_reason(slow):
    handle = slow.send_goal(feedback := [])
    slow.wait(lambda: feedback)
    asked_s = time.monotonic()
    answer = slow.relocalize()
    response = slow.result(slow.send_goal([]).get_result_async())
    assert time.monotonic() - asked_s < 5
    assert not answer.success and 'a localization is already running' in answer.message
    assert response.status == GoalStatus.STATUS_ABORTED
    assert 'a localization is already running' in response.result.localization.message
    slow.result(handle.cancel_goal_async())
    slow.result(handle.get_result_async())


def test_request_pre_empts_continuous_mode(driver):
    driver.set(continuous=True, continuous_rate=100.0, **SLOW)
    try:
        driver.wait(lambda: driver.received['particles'])
        driver.set(**QUICK)
        assert driver.relocalize().success
        driver.forget()
        driver.wait(lambda: len(driver.received['localization']) > 2)
        stamps = [m.header.stamp for m in driver.received['localization']]
        assert len({(stamp.sec, stamp.nanosec) for stamp in stamps}) == len(stamps)
    finally:
        driver.set(continuous=False, **QUICK)
    time.sleep(2.0)  # until the last one has ended
    driver.forget()
    time.sleep(0.5)
    assert not driver.received['localization']


def prior_in(tiny_map):
    place = LocalizationMap.load(tiny_map)
    return place.to_map(place.training_cameras[:1])[0]


def test_particles_start_at_the_prior_of_a_goal(driver, tiny_map):
    far = prior_in(tiny_map)
    far[:3, 3] += 30  # where nobody would look without it
    driver.set(prior_share=1.0)
    try:
        handle = driver.send_goal([], prior(far, 1e-3))
        response = driver.result(handle.get_result_async())
        found = pose_from_msg(response.result.localization.pose)
        assert np.linalg.norm(found[:3, 3] - far[:3, 3]) < 5
    finally:
        driver.set(prior_share=0.5)


def test_bad_prior_of_a_goal_is_aborted_with_the_reason(driver):
    handle = driver.send_goal([], prior(np.eye(4), frame='odom'))
    response = driver.result(handle.get_result_async())
    assert response.status == GoalStatus.STATUS_ABORTED
    assert "frame 'odom', expected 'map'" in response.result.localization.message


def test_initialpose_localizes_at_once(driver, tiny_map):
    driver.send_prior(prior(prior_in(tiny_map)))
    driver.wait(lambda: driver.received['localization'])
    assert driver.received['localization'][-1].status == Localization.LOCALIZED


def test_bad_initialpose_is_refused_with_a_sentence_in_the_log(driver, localizer):
    bad = prior(np.eye(4))
    bad.pose.pose.position.x = float('nan')
    driver.send_prior(bad)
    driver.wait(lambda: 'initialpose: the prior pose' in localizer.log)
    bad = prior(np.eye(4))
    bad.pose.pose.orientation.w = 0.0
    driver.send_prior(bad)
    driver.wait(lambda: 'initialpose: the quaternion of the prior has norm 0' in localizer.log)
    assert not driver.received['localization']


@pytest.mark.parametrize(
    ('image', 'info', 'sentence'),
    [
        (changed(good_image(), encoding='rainbow'), good_info(), "'rainbow' is not a known colour"),
        (changed(good_image(), step=7), good_info(), 'step of 7 bytes'),
        (changed(good_image(), data=b'abc'), good_info(), 'has 3 bytes'),
        (changed(good_image(), width=0, height=0, data=b''), good_info(), 'is 0x0 pixels'),
        (rgb_to_image(np.zeros((10, 20, 3), np.uint8), Header()), good_info(), '20x10 pixels'),
        (good_image(), changed(good_info(), k=np.zeros(9)), 'K[0] = 0'),
        (good_image(), changed(good_info(), k=np.full(9, np.nan)), 'finite'),
        (good_image(), changed(good_info(), d=[0.1] * 3), 'has 3 coefficients'),
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


def test_no_images_any_more(driver):
    driver.image = None
    time.sleep(1.7)
    assert 'the last image arrived' in driver.relocalize().message


def test_empty_frame_of_the_image_costs_only_the_transform(driver):
    driver.frame = ''
    try:
        assert driver.relocalize().success
        driver.wait(lambda: driver.received['pose'])
        assert driver.received['pose'][-1].header.frame_id == 'map'
    finally:
        driver.frame = 'camera_optical'


def test_compressed_images_are_not_listened_to_in_raw_mode(driver):
    driver.image = compressed_image()
    time.sleep(1.7)
    assert not driver.relocalize().success


def test_after_all_that_it_goes_on(driver, localizer):
    time.sleep(0.3)
    assert driver.relocalize().success
    assert 'Traceback' not in localizer.log
