# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses as messages: matrices (4, 4) of optical cameras in the map, float64."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import (
    Point,
    Pose,
    PoseArray,
    PoseStamped,
    Quaternion,
    Transform,
    TransformStamped,
    Vector3,
)
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header


def pose_to_msg(T_map_cam: np.ndarray) -> Pose:
    """geometry_msgs/Pose of a matrix (4, 4)."""
    x, y, z = (float(value) for value in T_map_cam[:3, 3])
    return Pose(position=Point(x=x, y=y, z=z), orientation=_quaternion(T_map_cam))


def pose_from_msg(pose: Pose) -> np.ndarray:
    """Matrix (4, 4) of a geometry_msgs/Pose with a quaternion of any norm but zero."""
    q, p = pose.orientation, pose.position
    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
    T[:3, 3] = p.x, p.y, p.z
    return T


def pose_stamped(T_map_cam: np.ndarray, header: Header) -> PoseStamped:
    """The pose with the stamp of its image, in the map."""
    return PoseStamped(header=header, pose=pose_to_msg(T_map_cam))


def pose_array(T_map_cam: np.ndarray, header: Header) -> PoseArray:
    """Poses (P, 4, 4) as one message."""
    return PoseArray(header=header, poses=[pose_to_msg(T) for T in T_map_cam])


def transform_stamped(T_map_cam: np.ndarray, header: Header, child_frame: str) -> TransformStamped:
    """The pose as the transform that puts ``child_frame``, the camera, into the map."""
    x, y, z = (float(value) for value in T_map_cam[:3, 3])
    transform = Transform(translation=Vector3(x=x, y=y, z=z), rotation=_quaternion(T_map_cam))
    return TransformStamped(header=header, child_frame_id=child_frame, transform=transform)


def _quaternion(T: np.ndarray) -> Quaternion:
    """Rotation of a matrix as a quaternion, w last as in ROS and never negative."""
    q = Rotation.from_matrix(T[:3, :3]).as_quat()
    x, y, z, w = (float(value) for value in (-q if q[3] < 0 else q))
    return Quaternion(x=x, y=y, z=z, w=w)
