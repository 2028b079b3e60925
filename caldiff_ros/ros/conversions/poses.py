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
    PoseWithCovariance,
    PoseWithCovarianceStamped,
    Quaternion,
    Transform,
    TransformStamped,
    Vector3,
)
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header


def pose_to_msg(T_map_cam: np.ndarray) -> Pose:
    """geometry_msgs/Pose of a matrix (4, 4)."""
    return _poses(T_map_cam[None])[0]


def pose_from_msg(pose: Pose) -> np.ndarray:
    """Matrix (4, 4) of a geometry_msgs/Pose with a quaternion of any norm but zero."""
    q = pose.orientation
    p = pose.position

    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
    T[:3, 3] = p.x, p.y, p.z
    return T


def pose_stamped(T_map_cam: np.ndarray, header: Header) -> PoseStamped:
    """The pose with the stamp of its image, in the map."""
    return PoseStamped(header=header, pose=pose_to_msg(T_map_cam))


def pose_with_covariance_stamped(
    T_map_cam: np.ndarray, covariance: np.ndarray, header: Header
) -> PoseWithCovarianceStamped:
    """The pose with its covariance (6, 6), see `Answer.covariance`."""
    flat = np.asarray(covariance, dtype=np.float64).ravel()
    pose = PoseWithCovariance(pose=pose_to_msg(T_map_cam), covariance=flat)
    return PoseWithCovarianceStamped(header=header, pose=pose)


def pose_array(T_map_cam: np.ndarray, header: Header) -> PoseArray:
    """Poses (P, 4, 4) as one message."""
    return PoseArray(header=header, poses=_poses(T_map_cam))


def transform_stamped(T_map_cam: np.ndarray, header: Header, child_frame: str) -> TransformStamped:
    """The pose as the transform that puts ``child_frame``, the camera, into the map."""
    pose = pose_to_msg(T_map_cam)
    at = pose.position
    transform = Transform(translation=Vector3(x=at.x, y=at.y, z=at.z), rotation=pose.orientation)
    return TransformStamped(header=header, child_frame_id=child_frame, transform=transform)


def matrix_from_transform(transform: Transform) -> np.ndarray:
    """Matrix (4, 4) of a geometry_msgs/Transform."""
    at = transform.translation
    return pose_from_msg(
        Pose(position=Point(x=at.x, y=at.y, z=at.z), orientation=transform.rotation)
    )


def _poses(T_map_cam: np.ndarray) -> list[Pose]:
    """Messages of matrices (P, 4, 4); quaternions have w last, as in ROS, and never negative."""
    xyzw = Rotation.from_matrix(T_map_cam[:, :3, :3]).as_quat()
    xyzw = np.where(xyzw[:, 3:] < 0, -xyzw, xyzw)
    return [
        Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))
        for (x, y, z), (qx, qy, qz, qw) in zip(
            T_map_cam[:, :3, 3].tolist(), xyzw.tolist(), strict=True
        )
    ]
