# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which ROS `make setup` takes from PyPI."""

import runpy
from pathlib import Path

import pytest

WHEELS = runpy.run_path(str(Path(__file__).parents[1] / 'scripts/ros_wheels.py'))
choose_wheels, ros_requirements = WHEELS['choose_wheels'], WHEELS['ros_requirements']


@pytest.mark.parametrize(
    ('asked', 'sourced', 'installed', 'chosen'),
    [
        ('', None, None, 'kilted'),
        ('jazzy', None, None, 'jazzy'),
        ('jazzy', None, 'kilted', 'jazzy'),
        ('', None, 'jazzy', 'jazzy'),
        ('humble', 'humble', None, 'humble'),
    ],
    ids=['default', 'asked', 'asked for another', 'as it is', 'the one that is sourced'],
)
def test_the_distribution_that_is_wanted(asked, sourced, installed, chosen):
    assert choose_wheels(asked, sourced, installed) == chosen


@pytest.mark.parametrize(
    ('asked', 'sourced', 'sentence'),
    [
        ('lyrical', None, 'PyPI has no wheels of ROS 2 lyrical, expected one of kilted, jazzy; '),
        ('jazzy', 'humble', 'ROS=jazzy was asked for but humble is sourced; leave ROS= out'),
    ],
)
def test_what_cannot_be_had_is_refused(asked, sourced, sentence):
    with pytest.raises(ValueError) as refused:
        choose_wheels(asked, sourced, None)
    assert str(refused.value).startswith(sentence)


def test_requirements_follow_the_distribution():
    named = ['ninja', 'ros-kilted-rclpy>=1', 'ros-kilted-ament-cmake-ros-core']
    assert ros_requirements(named, 'kilted') == named
    in_its_place = ['ros-jazzy-ament-cmake-gmock', 'ros-jazzy-ament-cmake-gtest']
    assert ros_requirements(named, 'jazzy') == ['ninja', 'ros-jazzy-rclpy>=1', *in_its_place]
