# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import threading
import time

import pytest
from demo_inputs import unread
from sensor_msgs.msg import CameraInfo, Image

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import Cancelled, CancelToken
from caldiff_ros.ros.latest_messages import LatestMessages

NEVER = CancelToken()


def later(action, *arguments) -> None:
    threading.Timer(0.1, action, arguments).start()


def test_waits_for_an_image_newer_than_the_request():
    latest = LatestMessages()
    latest.put_image(unread(Image(width=1)))
    later(latest.put_image, unread(Image(width=2)))
    assert latest.image_for(time.monotonic(), 5.0, NEVER).width == 2


def test_takes_a_recent_image_if_no_newer_one_comes():
    latest = LatestMessages()
    latest.put_image(unread(Image(width=1)))
    requested_s = time.monotonic()
    assert latest.image_for(requested_s, 0.2, NEVER).width == 1
    assert time.monotonic() - requested_s >= 0.2


def test_does_not_take_an_old_image():
    latest = LatestMessages()
    latest.put_image(unread(Image(width=1)))
    time.sleep(0.2)
    with pytest.raises(CaldiffError, match='the last image arrived'):
        latest.image_for(time.monotonic(), 0.1, NEVER)


def test_start_takes_whatever_is_there():
    latest = LatestMessages()
    latest.put_image(unread(Image(width=1)))
    assert latest.image_for(float('-inf'), 5.0, NEVER).width == 1


def test_no_image_at_all():
    with pytest.raises(CaldiffError, match=r'no image arrived within 0\.05 s'):
        LatestMessages().image_for(time.monotonic(), 0.05, NEVER)


def test_waits_for_the_first_camera_info_only():
    latest = LatestMessages()
    assert not latest.has_info
    later(latest.put_info, unread(CameraInfo(width=3)))
    assert latest.info_for(time.monotonic(), 5.0, NEVER).width == 3
    assert latest.has_info
    assert latest.info_for(time.monotonic(), 0.0, NEVER).width == 3
    with pytest.raises(CaldiffError, match='no camera_info arrived'):
        LatestMessages().info_for(time.monotonic(), 0.05, NEVER)


def test_cancelling_ends_a_wait():
    latest, cancel = LatestMessages(), CancelToken()
    later(lambda: (cancel.cancel(), latest.wake()))
    with pytest.raises(Cancelled):
        latest.image_for(time.monotonic(), 60.0, cancel)


def test_image_is_forgotten_without_its_calibration_or_with_it():
    latest = LatestMessages()
    latest.put_image(unread(Image(width=1)))
    latest.put_info(unread(CameraInfo()))
    latest.forget_image()
    assert latest.has_info and latest.image_received_s == float('-inf')
    latest.reset()
    assert not latest.has_info and latest.image_frame == ''
    with pytest.raises(CaldiffError, match='no image arrived'):
        latest.image_for(time.monotonic(), 0.05, NEVER)
