# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera that shows one held-out image at a time."""

from __future__ import annotations

from pathlib import Path

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from caldiff_ros.demo.data import read_demo, shipped_folder
from caldiff_ros.errors import CaldiffError
from caldiff_ros.ros.conversions.camera_info import info_from_camera
from caldiff_ros.ros.conversions.images import rgb_to_image

FRAME = 'demo_camera_optical_frame'


class DemoCamera(Node):
    """Publishes ``image`` and ``camera_info``; parameter ``index`` says which image.

    Raises:
        CaldiffError: if the folder of the images cannot be used.
    """

    def __init__(self) -> None:
        super().__init__('demo_camera')
        about = 'folder with camera.json and poses.json; empty for the shipped one'
        folder = self._declare('folder', '', about, read_only=True)
        rate_hz = self._declare('rate_hz', 5.0, 'images per second', read_only=True)
        self._camera, self._images = read_demo(Path(folder) if folder else shipped_folder())

        self._select(self._declare('index', 0, f'image shown, 0 to {len(self._images) - 1}'))
        self.add_on_set_parameters_callback(self._on_parameters)

        self._image_out = self.create_publisher(Image, 'image', qos_profile_sensor_data)
        self._info_out = self.create_publisher(CameraInfo, 'camera_info', qos_profile_sensor_data)
        self.create_timer(1.0 / rate_hz, self._publish)

    def _declare(self, name: str, default, description: str, read_only: bool = False):
        descriptor = ParameterDescriptor(description=description, read_only=read_only)
        return self.declare_parameter(name, default, descriptor).value

    def _select(self, index: int) -> None:
        if not 0 <= index < len(self._images):
            raise CaldiffError(
                f'there is no image {index}, expected an index of 0 to {len(self._images) - 1}'
            )

        self._rgb = self._images[index].read_rgb()

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            for parameter in parameters:
                if parameter.name == 'index':
                    self._select(parameter.value)
        except CaldiffError as error:
            return SetParametersResult(successful=False, reason=str(error))

        return SetParametersResult(successful=True)

    def _publish(self) -> None:
        header = Header(frame_id=FRAME, stamp=self.get_clock().now().to_msg())
        self._info_out.publish(info_from_camera(self._camera, header))
        self._image_out.publish(rgb_to_image(self._rgb, header))
