# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The wiring to TF, with a double of tf2_ros; `test_ros_node` has one test with the real one."""

import sys
import threading
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
from caldiff_ros.localization.answer import Cancelled, CancelToken
from caldiff_ros.ros.conversions.poses import matrix_from_transform, transform_stamped
from caldiff_ros.ros.parameters import LocalizerParameters
from caldiff_ros.ros.session import Session
from caldiff_ros.ros.tf import TransformOutput, transform_of

HEADER = Header(frame_id='map', stamp=Time(sec=100, nanosec=500_000_000))


def pose(seed: int) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    T[:3, 3] = np.random.default_rng(seed).normal(size=3)
    return T


class Double(types.ModuleType):
    """Knows the transforms that it was told, sends into a list.

    Like tf2 it has forgotten what is older than its cache.
    """

    CACHE_S = 10.0

    class TransformException(Exception):  # noqa: N818 - its name in tf2_ros
        pass

    def __init__(self) -> None:
        super().__init__('tf2_ros')
        self.known, self.asked, self.sent, self.cleared = {}, [], [], 0
        self.newest_s = 100.5
        self.parents = {}
        self.static = []

    def Buffer(self):  # noqa: N802
        return self

    def TransformListener(self, buffer, node):  # noqa: N802
        assert buffer is self

    def TransformBroadcaster(self, node):  # noqa: N802
        return self

    def StaticTransformBroadcaster(self, node):  # noqa: N802
        return types.SimpleNamespace(sendTransform=self.static.append)

    def lookup_transform(self, target, source, moment, timeout):
        self.asked.append((target, source, moment.nanoseconds, timeout.nanoseconds))
        if (target, source) not in self.known:
            raise self.TransformException(f'"{source}" does not exist')

        moment_s = moment.nanoseconds * 1e-9
        if moment_s and moment_s < self.newest_s - self.CACHE_S:
            raise self.TransformException('Lookup would require extrapolation into the past')
        return transform_stamped(self.known[target, source], Header(frame_id=target), source)

    def sendTransform(self, transform):  # noqa: N802
        stamp = transform.header.stamp
        self.sent.append((stamp.sec + stamp.nanosec / 1e9, transform))

    def all_frames_as_yaml(self):
        lines = [f"{child}: \n  parent: '{parent}'" for child, parent in self.parents.items()]
        return '\n'.join(lines) or '[]'

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


class Localization:
    """A localization of a node with this TF: an image comes, and later the answer."""

    def __init__(self, node, parameters, camera='camera'):
        self.tf = TransformOutput(node)
        self.parameters, self.camera = parameters, camera
        self.session = Session(particles=None, answers=None, tf=self.tf, parameters=parameters)
        self.tf.start(parameters, self.session.send_transform_again)

    def see(self):
        self.child = self.tf.child_frame(HEADER, self.camera, self.parameters, CancelToken())
        return self

    def answer(self, T_map_cam):
        transform = transform_of(T_map_cam, self.child, HEADER, self.parameters)
        self.session.send_transform(transform, self.parameters)


def test_map_to_camera_is_the_pose_at_the_stamp_of_the_image(tf2, node):
    Localization(node, settings('map_to_camera')).see().answer(pose(1))
    [(stamp_s, transform)] = tf2.sent
    assert stamp_s == 100.5 and tf2.asked == []
    assert (transform.header.frame_id, transform.child_frame_id) == ('map', 'camera')
    np.testing.assert_allclose(matrix_from_transform(transform.transform), pose(1), atol=1e-12)


def test_map_to_base_looks_up_the_mounting_at_the_stamp_of_the_image(tf2, node):
    T_map_base, T_base_cam = pose(1), pose(2)
    tf2.known['base_link', 'camera'] = T_base_cam
    Localization(node, settings('map_to_base')).see().answer(T_map_base @ T_base_cam)
    [(stamp_s, transform)] = tf2.sent
    assert stamp_s == 100.5 and transform.child_frame_id == 'base_link'
    np.testing.assert_allclose(matrix_from_transform(transform.transform), T_map_base, atol=1e-9)
    assert tf2.asked == [('base_link', 'camera', 100_500_000_000, 0)]


def test_localization_longer_than_the_memory_of_tf_still_gives_map_to_odom(tf2, node):
    T_map_odom, T_odom_cam = pose(1), pose(2)
    tf2.known['odom', 'camera'] = T_odom_cam
    localization = Localization(node, settings('map_to_odom')).see()
    tf2.newest_s += 42.0  # the preset `paper` takes that long
    localization.answer(T_map_odom @ T_odom_cam)
    [(_, transform)] = tf2.sent
    np.testing.assert_allclose(matrix_from_transform(transform.transform), T_map_odom, atol=1e-9)


def test_odometry_that_comes_late_is_waited_for(tf2, node):
    localization = Localization(node, settings('map_to_odom', tf_timeout=30.0))
    late = threading.Timer(0.2, tf2.known.update, [{('odom', 'camera'): pose(2)}])
    late.start()
    localization.see()
    np.testing.assert_allclose(localization.child.T_child_cam, pose(2), atol=1e-12)


def test_cancelling_ends_the_wait_for_odometry(tf2, node):
    cancel = CancelToken()
    threading.Timer(0.2, cancel.cancel).start()
    parameters = settings('map_to_odom', tf_timeout=60.0)
    with pytest.raises(Cancelled):
        TransformOutput(node).child_frame(HEADER, 'camera', parameters, cancel)


def test_map_to_odom_is_dated_ahead_and_sent_again(tf2, node):
    T_map_odom, T_odom_cam = pose(1), pose(2)
    tf2.known['odom', 'camera'] = T_odom_cam
    parameters = settings('map_to_odom', transform_tolerance=0.25, tf_rate=50.0)
    localization = Localization(node, parameters)
    spin(node, 0.1)
    assert tf2.sent == []  # before it is known
    localization.see().answer(T_map_odom @ T_odom_cam)
    assert tf2.sent[0][0] == 100.75
    spin(node, 0.3)
    again = tf2.sent[1:]
    assert len(again) >= 3
    assert again[-1][0] == pytest.approx(time.time() + 0.25, abs=0.2)
    np.testing.assert_allclose(matrix_from_transform(again[-1][1].transform), T_map_odom, atol=1e-9)
    assert tf2.sent[0][0] == 100.75 and len({id(transform) for _, transform in again}) > 1
    localization.session.close('time jumped back')
    localization.tf.clear()
    n_sent = len(tf2.sent)
    spin(node, 0.1)
    assert len(tf2.sent) == n_sent and tf2.cleared == 1


def test_map_changed_while_odometry_is_awaited_sends_no_transform(tf2, node):
    tf2.known['odom', 'camera'] = pose(2)
    localization = Localization(node, settings('map_to_odom', tf_rate=50.0)).see()
    localization.session.close('the map was changed')
    with pytest.raises(Cancelled):
        localization.answer(pose(1))
    spin(node, 0.1)
    assert tf2.sent == []


def test_transform_between_other_frames_is_not_sent_again(tf2, node):
    tf2.known['odom', 'camera'] = pose(2)
    localization = Localization(node, settings('map_to_odom', tf_rate=50.0)).see()
    localization.answer(pose(1))
    localization.session.follow(settings('map_to_odom', odom_frame='odometry'))
    n_sent = len(tf2.sent)
    spin(node, 0.1)
    assert len(tf2.sent) == n_sent


def test_pose_of_a_camera_is_not_sent_again(tf2, node):
    Localization(node, settings('map_to_camera')).see().answer(pose(1))
    spin(node, 0.3)
    assert len(tf2.sent) == 1


@pytest.mark.parametrize(
    ('parent', 'warnings'), [('base_link', 1), ('map', 0), (None, 0)], ids=['robot', 'ours', 'none']
)
def test_camera_that_has_a_parent_is_warned_of_once(tf2, node, parent, warnings):
    if parent:
        tf2.parents['camera'] = parent
    localization = Localization(node, settings('map_to_camera'))
    told = []
    localization.tf._log = types.SimpleNamespace(warning=told.append)
    localization.see()
    localization.see()
    assert len(told) == warnings
    if warnings:
        assert "'camera' has the parent 'base_link' in TF already" in told[0]
        assert 'set tf_mode to map_to_odom or map_to_base' in told[0]


def test_parent_that_the_node_gave_the_camera_under_another_name_is_no_second_one(tf2, node):
    localization = Localization(node, settings('map_to_camera'))
    told = []
    localization.tf._log = types.SimpleNamespace(warning=told.append)
    localization.see().answer(pose(1))
    tf2.parents['camera'] = 'map'
    renamed = Header(frame_id='world', stamp=HEADER.stamp)
    localization.tf.child_frame(renamed, 'camera', localization.parameters, CancelToken())
    assert told == []


def test_none_sends_nothing(tf2, node):
    assert Localization(node, settings('none')).see().child is None


def test_unknown_transform_is_a_sentence(tf2, node):
    with pytest.raises(CaldiffError, match="from 'odom' to 'camera' is not known within"):
        Localization(node, settings('map_to_odom')).see()
    assert tf2.sent == []


@pytest.mark.parametrize('frame', ['', 'map'])
def test_child_needs_a_name_of_its_own(tf2, node, frame):
    with pytest.raises(CaldiffError, match='no TF is published'):
        Localization(node, settings('map_to_camera'), camera=frame).see()


def test_without_tf2_ros_nothing_is_sent_and_look_ups_say_why(node, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)  # an import of it fails
    localization = Localization(node, settings('map_to_odom')).see()
    assert localization.child is None
    with pytest.raises(CaldiffError, match='tf2_ros cannot be imported'):
        localization.tf.look_up('base_link', 'camera')


def test_a_static_transform_is_sent_once_and_for_all(tf2, node):
    tf = TransformOutput(node)
    first, second = (transform_stamped(pose(i), HEADER, f'child {i}') for i in (1, 2))
    assert tf.send_static(first) and tf.send_static(second)
    assert (tf2.static, tf2.sent) == ([first, second], [])


def test_without_tf2_ros_no_static_transform_is_sent(monkeypatch, node):
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)
    assert not TransformOutput(node).send_static(transform_stamped(pose(1), HEADER, 'child'))
