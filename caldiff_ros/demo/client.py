# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's side of the node's topics and services."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

from caldiff_ros.errors import CaldiffError
from caldiff_ros.msg import Localization
from caldiff_ros.ros.latched import LATCHED
from caldiff_ros.ros.lifecycle import present

#: Longest wait for a localization, and for a message about one that has ended.
LOCALIZATION_TIMEOUT_S = 600.0
MESSAGE_TIMEOUT_S = 20.0


@dataclass
class Received:
    """What the node published about one image.

    Attributes:
        localization, pose, overlay: last messages; pose stays None if the node gave none.
        markers: LINE_LISTs of the particles with their stage as namespace, in order.
    """

    localization: Localization | None = None
    pose: PoseStamped | None = None
    overlay: Image | None = None
    markers: list[Marker] = field(default_factory=list)


class DemoClient(Node):
    """Calls the services of the localizer and of the camera, keeps what they publish."""

    def __init__(self) -> None:
        super().__init__('demo')
        self._changed = threading.Condition()
        self._received: dict[tuple[int, int], Received] = {}
        self._last_image_s = 0.0

        self._relocalize: Client = self.create_client(Trigger, 'relocalize')
        self._set_camera: Client = self.create_client(SetParameters, 'demo_camera/set_parameters')

        for kind, topic, callback, qos in (
            (Localization, 'localization', self._on_localization, LATCHED),
            (PoseStamped, 'pose', self._on_pose, LATCHED),
            (Image, 'overlay', self._on_overlay, LATCHED),
            (MarkerArray, 'particle_markers', self._on_markers, 100),
            (Image, 'image', self._on_image, qos_profile_sensor_data),
        ):
            self.create_subscription(kind, topic, callback, qos_profile=qos)

    def ready(self) -> bool:
        """Whether both nodes offer their services."""
        return self._relocalize.service_is_ready() and self._set_camera.service_is_ready()

    def show_image(self, index: int) -> None:
        """Make the camera show an image and wait until it does."""
        request = SetParameters.Request(
            parameters=[Parameter('index', value=index).to_parameter_msg()]
        )
        result = self._call(self._set_camera, request, MESSAGE_TIMEOUT_S).results[0]
        if not result.successful:
            raise CaldiffError(f'the demo camera refused image {index}: {result.reason}')

        now_s = self.get_clock().now().nanoseconds * 1e-9
        self._wait(lambda: self._last_image_s > now_s, MESSAGE_TIMEOUT_S, 'image of the camera')

    def relocalize(self) -> tuple[Received, float]:
        """Ask for a localization; what was published about it, and the seconds it took."""
        before = set(self._received)
        started_s = time.perf_counter()
        response = self._call(self._relocalize, Trigger.Request(), LOCALIZATION_TIMEOUT_S)
        seconds = time.perf_counter() - started_s
        try:
            received = self.wait_for_localization(before, MESSAGE_TIMEOUT_S)
        except CaldiffError as error:
            raise CaldiffError(f'{error}; relocalize answered: {response.message}') from error

        localization = present(received.localization)
        localized = localization.status == Localization.LOCALIZED
        if response.success != localized:
            raise CaldiffError(
                f'relocalize answered {response.success} ({response.message}) but the status is '
                f'{localization.status}, expected them to agree; report this'
            )

        if localized:
            self._wait(lambda: received.pose and received.overlay, MESSAGE_TIMEOUT_S, 'pose')

        return received, seconds

    def wait_for_localization(self, before: set, timeout_s: float) -> Received:
        """The first localization of an image whose stamp is not in ``before``."""
        new: list[Received] = []

        def arrived() -> bool:
            new[:] = [
                received
                for stamp, received in self._received.items()
                if stamp not in before and received.localization is not None
            ]

            return bool(new)

        self._wait(arrived, timeout_s, 'localization')
        return new[-1]

    def _call(self, client, request, timeout_s: float):
        future = client.call_async(request)
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout_s):
            raise CaldiffError(
                f'{client.srv_name} gave no answer within {timeout_s:g} s; see the log of the nodes'
            )

        return future.result()

    def _wait(self, ready, timeout_s: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(ready, timeout_s):
                raise CaldiffError(
                    f'no {what} arrived within {timeout_s:g} s; see the log of the nodes'
                )

    def _about(self, header) -> Received:
        stamp = (header.stamp.sec, header.stamp.nanosec)
        return self._received.setdefault(stamp, Received())

    def _on_localization(self, message: Localization) -> None:
        with self._changed:
            self._about(message.header).localization = message
            self._changed.notify_all()

    def _on_pose(self, message: PoseStamped) -> None:
        with self._changed:
            self._about(message.header).pose = message
            self._changed.notify_all()

    def _on_overlay(self, message: Image) -> None:
        with self._changed:
            self._about(message.header).overlay = message
            self._changed.notify_all()

    def _on_markers(self, message: MarkerArray) -> None:
        with self._changed:
            lines = [marker for marker in message.markers if marker.type == Marker.LINE_LIST]
            added = [marker for marker in lines if marker.action == Marker.ADD]
            for marker in added:
                self._about(marker.header).markers.append(marker)

    def _on_image(self, message: Image) -> None:
        with self._changed:
            stamp = message.header.stamp
            self._last_image_s = stamp.sec + 1e-9 * stamp.nanosec
            self._changed.notify_all()


def marker_lines(marker: Marker) -> tuple[np.ndarray, np.ndarray]:
    """End points (L, 2, 3) and colours (L, 3) of a LINE_LIST."""
    points = np.array([(point.x, point.y, point.z) for point in marker.points])
    colors = np.array([(color.r, color.g, color.b) for color in marker.colors])
    return points.reshape(-1, 2, 3), colors[::2]
