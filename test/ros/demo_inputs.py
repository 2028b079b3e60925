# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Good and bad messages of a camera, from the shipped demo."""

from __future__ import annotations

import cv2
import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from caldiff_ros.demo.data import read_demo, shipped_folder
from caldiff_ros.ros.conversions.camera_info import info_from_camera
from caldiff_ros.ros.conversions.images import rgb_to_image
from caldiff_ros.ros.conversions.poses import pose_with_covariance_stamped
from caldiff_ros.ros.latest_messages import Unread

CAMERA, IMAGES = read_demo(shipped_folder())


def good_image(index: int = 0):
    return rgb_to_image(IMAGES[index].read_rgb(), Header())


def good_info():
    return info_from_camera(CAMERA, Header())


def unread(message) -> Unread:
    """A message as it arrives."""
    return Unread(serialize_message(message), type(message))


def changed(message, **changes):
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def compressed_image(suffix: str = 'jpg', index: int = 0) -> CompressedImage:
    bgr = cv2.cvtColor(IMAGES[index].read_rgb(), cv2.COLOR_RGB2BGR)
    data = cv2.imencode(f'.{suffix}', bgr)[1].tobytes()
    return CompressedImage(format=f'rgb8; {suffix} compressed bgr8', data=data)


def prior(T: np.ndarray, deviation: float = 0.1, frame: str = 'map') -> PoseWithCovarianceStamped:
    return pose_with_covariance_stamped(T, deviation**2 * np.eye(6), Header(frame_id=frame))
