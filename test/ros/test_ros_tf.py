# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The wiring to TF, with a double of tf2_ros; `test_ros_node` has one test with the real one."""

import sys
import time
import types

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from caldiff_ros.errors import CaldiffError
from caldiff_ros.ros.conversions.poses import matrix_from_transform, transform_stamped
from caldiff_ros.ros.parameters import LocalizerParameters
from caldiff_ros.ros.tf import TransformOutput

HEADER = Header(frame_id='map', stamp=Time(sec=100, nanosec=500_000_000))


def pose(seed: int) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    T[:3, 3] = np.random.default_rng(seed).normal(size=3)
    return T


class Double(types.ModuleType):
    """Knows the transforms that it was told, sends into a list."""

    class TransformException(Exception):  # noqa: N818 - its name in tf2_ros
        pass

    def __init__(self) -> None:
        super().__init__('tf2_ros')
        self.known, self.asked, self.sent, self.cleared = {}, [], [], 0

    def Buffer(self):  # noqa: N802
        return self

    def TransformListener(self, buffer, node):  # noqa: N802
        assert buffer is self

    def TransformBroadcaster(self, node):  # noqa: N802
        return self

    def lookup_transform(self, target, source, moment, timeout):
        self.asked.append((target, source, moment.nanoseconds, timeout.nanoseconds))
        if (target, source) not in self.known:
            raise self.TransformException(f'"{source}" does not exist')
        return transform_stamped(self.known[target, source], Header(frame_id=target), source)

    def sendTransform(self, transform):  # noqa: N802
        stamp = transform.header.stamp
        self.sent.append((stamp.sec + stamp.nanosec / 1e9, transform))

    def clear(self):
        self.cleared += 1


@pytest.fixture
def tf2(monkeypatch):
    double = Double()
    monkeypatch.setitem(sys.modules, 'tf2_ros', double)
    return double


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('tf', context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def spin(node, seconds: float) -> None:
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=0.02)


def settings(mode: str, **changes) -> LocalizerParameters:
    return LocalizerParameters(tf_mode=mode, base_frame='base_link', **changes)


def test_map_to_camera_is_the_pose_at_the_stamp_of_the_image(tf2, node):
    TransformOutput(node).publish(pose(1), HEADER, 'camera', settings('map_to_camera'))
    [(stamp_s, transform)] = tf2.sent
    assert stamp_s == 100.5 and tf2.asked == []
    assert (transform.header.frame_id, transform.child_frame_id) == ('map', 'camera')
    np.testing.assert_allclose(matrix_from_transform(transform.transform), pose(1), atol=1e-12)


def test_map_to_base_looks_up_the_mounting_at_the_stamp_of_the_image(tf2, node):
    T_map_base, T_base_cam = pose(1), pose(2)
    tf2.known['base_link', 'camera'] = T_base_cam
    output = TransformOutput(node)
    output.publish(T_map_base @ T_base_cam, HEADER, 'camera', settings('map_to_base'))
    [(stamp_s, transform)] = tf2.sent
    assert stamp_s == 100.5 and transform.child_frame_id == 'base_link'
    np.testing.assert_allclose(matrix_from_transform(transform.transform), T_map_base, atol=1e-9)
    assert tf2.asked == [('base_link', 'camera', 100_500_000_000, 500_000_000)]


def test_map_to_odom_is_dated_ahead_and_sent_again(tf2, node):
    T_map_odom, T_odom_cam = pose(1), pose(2)
    tf2.known['odom', 'camera'] = T_odom_cam
    output = TransformOutput(node)
    parameters = settings('map_to_odom', transform_tolerance=0.25, tf_rate=50.0)
    output.start(parameters)
    spin(node, 0.1)
    assert tf2.sent == []  # before it is known
    output.publish(T_map_odom @ T_odom_cam, HEADER, 'camera', parameters)
    assert tf2.sent[0][0] == 100.75
    spin(node, 0.3)
    again = tf2.sent[1:]
    assert len(again) >= 3
    assert again[-1][0] == pytest.approx(time.time() + 0.25, abs=0.2)
    np.testing.assert_allclose(matrix_from_transform(again[-1][1].transform), T_map_odom, atol=1e-9)
    output.reset()
    n_sent = len(tf2.sent)
    spin(node, 0.1)
    assert len(tf2.sent) == n_sent and tf2.cleared == 1


def test_pose_of_a_camera_is_not_sent_again(tf2, node):
    output = TransformOutput(node)
    output.start(settings('map_to_camera'))
    output.publish(pose(1), HEADER, 'camera', settings('map_to_camera'))
    spin(node, 0.3)
    assert len(tf2.sent) == 1


def test_none_sends_nothing(tf2, node):
    TransformOutput(node).publish(pose(1), HEADER, 'camera', settings('none'))
    assert tf2.sent == []


def test_unknown_transform_is_a_sentence(tf2, node):
    with pytest.raises(CaldiffError, match="from 'odom' to 'camera' is not known within"):
        TransformOutput(node).publish(pose(1), HEADER, 'camera', settings('map_to_odom'))
    assert tf2.sent == []


@pytest.mark.parametrize('frame', ['', 'map'])
def test_child_needs_a_name_of_its_own(tf2, node, frame):
    with pytest.raises(CaldiffError, match='no TF is published'):
        TransformOutput(node).publish(pose(1), HEADER, frame, settings('map_to_camera'))


def test_without_tf2_ros_nothing_is_sent_and_look_ups_say_why(node, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)  # an import of it fails
    output = TransformOutput(node)
    output.start(settings('map_to_odom'))
    output.publish(pose(1), HEADER, 'camera', settings('map_to_odom'))
    with pytest.raises(CaldiffError, match='tf2_ros cannot be imported'):
        output.look_up('base_link', 'camera', None, 0.0)
