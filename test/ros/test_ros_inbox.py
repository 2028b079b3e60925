# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import threading
import time

import pytest
from sensor_msgs.msg import CameraInfo, Image

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import Cancelled, CancelToken
from caldiff_ros.ros.inbox import Inbox

NEVER = CancelToken()


def later(action, *arguments) -> None:
    threading.Timer(0.1, action, arguments).start()


def test_waits_for_an_image_newer_than_the_request():
    inbox = Inbox()
    inbox.put_image(Image(width=1))
    later(inbox.put_image, Image(width=2))
    assert inbox.image_for(time.monotonic(), 5.0, NEVER).width == 2


def test_takes_a_recent_image_if_no_newer_one_comes():
    inbox = Inbox()
    inbox.put_image(Image(width=1))
    requested_s = time.monotonic()
    assert inbox.image_for(requested_s, 0.2, NEVER).width == 1
    assert time.monotonic() - requested_s >= 0.2


def test_does_not_take_an_old_image():
    inbox = Inbox()
    inbox.put_image(Image(width=1))
    time.sleep(0.2)
    with pytest.raises(CaldiffError, match='the last image arrived'):
        inbox.image_for(time.monotonic(), 0.1, NEVER)


def test_start_takes_whatever_is_there():
    inbox = Inbox()
    inbox.put_image(Image(width=1))
    assert inbox.image_for(float('-inf'), 5.0, NEVER).width == 1


def test_no_image_at_all():
    with pytest.raises(CaldiffError, match=r'no image arrived within 0\.05 s'):
        Inbox().image_for(time.monotonic(), 0.05, NEVER)


def test_waits_for_the_first_camera_info_only():
    inbox = Inbox()
    assert not inbox.has_info
    later(inbox.put_info, CameraInfo(width=3))
    assert inbox.info_for(time.monotonic(), 5.0, NEVER).width == 3
    assert inbox.has_info
    assert inbox.info_for(time.monotonic(), 0.0, NEVER).width == 3
    with pytest.raises(CaldiffError, match='no camera_info arrived'):
        Inbox().info_for(time.monotonic(), 0.05, NEVER)


def test_cancelling_ends_a_wait():
    inbox, cancel = Inbox(), CancelToken()
    later(lambda: (cancel.cancel(), inbox.wake()))
    with pytest.raises(Cancelled):
        inbox.image_for(time.monotonic(), 60.0, cancel)


def test_image_is_forgotten_without_its_calibration_or_with_it():
    inbox = Inbox()
    inbox.put_image(Image(width=1))
    inbox.put_info(CameraInfo())
    inbox.forget_image()
    assert inbox.has_info and inbox.image_received_s == float('-inf')
    inbox.reset()
    assert not inbox.has_info and inbox.image_frame == ''
    with pytest.raises(CaldiffError, match='no image arrived'):
        inbox.image_for(time.monotonic(), 0.05, NEVER)
