# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from caldiff_ros.ros.conversions.poses import (
    pose_array,
    pose_from_msg,
    pose_stamped,
    pose_to_msg,
    transform_stamped,
)

HALF = np.sqrt(0.5)
#: A camera at (1, 2, 3) that looks along x of the map with its top up (z): x right is -y.
T_MAP_CAM = np.array([[0, 0, 1, 1.0], [-1, 0, 0, 2], [0, -1, 0, 3], [0, 0, 0, 1]])


def test_quaternion_of_a_quarter_turn_about_z_has_w_last():
    T = np.array([[0, -1, 0, 0.0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    q = pose_to_msg(T).orientation
    np.testing.assert_allclose([q.x, q.y, q.z, q.w], [0, 0, HALF, HALF], atol=1e-12)


def test_optical_frame_of_a_camera_that_looks_along_x():
    pose = pose_to_msg(T_MAP_CAM)
    q = pose.orientation
    # REP-103: the rotation from a body frame to its optical frame.
    np.testing.assert_allclose([q.x, q.y, q.z, q.w], [-0.5, 0.5, -0.5, 0.5], atol=1e-12)
    assert (pose.position.x, pose.position.y, pose.position.z) == (1, 2, 3)


def test_transform_says_the_same_as_the_pose():
    header = Header(frame_id='map')
    transform = transform_stamped(T_MAP_CAM, header, 'camera')
    pose = pose_stamped(T_MAP_CAM, header)
    assert (transform.header.frame_id, transform.child_frame_id) == ('map', 'camera')
    assert pose.header.frame_id == 'map'
    assert transform.transform.rotation == pose.pose.orientation
    translation = transform.transform.translation
    assert (translation.x, translation.y, translation.z) == (1, 2, 3)


@pytest.mark.parametrize('seed', range(5))
def test_round_trip(seed):
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    T[:3, 3] = np.random.default_rng(seed).normal(size=3)
    message = pose_to_msg(T)
    assert message.orientation.w >= 0
    np.testing.assert_allclose(pose_from_msg(message), T, atol=1e-12)


def test_array_keeps_the_order():
    Ts = np.tile(np.eye(4), (3, 1, 1))
    Ts[:, 0, 3] = [5, 6, 7]
    assert [pose.position.x for pose in pose_array(Ts, Header()).poses] == [5, 6, 7]
