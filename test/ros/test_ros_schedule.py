# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

from caldiff_ros.ros.parameters import LocalizerParameters
from caldiff_ros.ros.schedule import Schedule

START = LocalizerParameters()
IDLE = LocalizerParameters(localize_on_start=False)
CONTINUOUS = LocalizerParameters(localize_on_start=False, continuous=True, continuous_rate=0.5)


def due(parameters, now_s, image_s, pending=True, last_s=-math.inf) -> bool:
    return Schedule(last_s).due(parameters, now_s, image_s, pending)


def test_nothing_to_do_without_an_image():
    assert not due(START, 10.0, -math.inf)
    assert not due(CONTINUOUS, 10.0, -math.inf)


def test_start_takes_the_first_image_and_then_no_more():
    assert due(START, 10.0, 10.0)
    assert not due(START, 20.0, 20.0, pending=False, last_s=10.0)
    assert not due(IDLE, 10.0, 10.0)


def test_start_is_tried_again_with_another_image_after_a_pause():
    assert not due(START, 10.5, 10.5, last_s=10.0)
    assert not due(START, 12.0, 9.0, last_s=10.0)  # no other image
    assert due(START, 12.0, 11.0, last_s=10.0)


def test_continuous_keeps_its_rate_and_takes_no_image_twice():
    assert due(CONTINUOUS, 10.0, 10.0, pending=False)
    assert not due(CONTINUOUS, 11.9, 11.9, pending=False, last_s=10.0)
    assert due(CONTINUOUS, 12.0, 11.9, pending=False, last_s=10.0)
    assert not due(CONTINUOUS, 12.0, 9.9, pending=False, last_s=10.0)
