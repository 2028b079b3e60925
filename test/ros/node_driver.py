# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A localizer process and a ROS node that feeds it and listens to it, over DDS."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import rclpy
from ament_index_python import get_package_prefix
from caldiff_ros.msg import Localization
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from caldiff_ros.ros.outputs import LATCHED

LOCALIZER = Path(get_package_prefix('caldiff_ros')) / 'lib/caldiff_ros/localizer'
TYPES = {
    'localization': Localization,
    'pose': PoseStamped,
    'particles': PoseArray,
    'particle_markers': MarkerArray,
    'overlay': Image,
}


def start_localizer(namespace: str = '/', **parameters) -> subprocess.Popen:
    """The executable as a process; its output is in the file ``process.log``."""
    settings = [part for item in parameters.items() for part in ('-p', '{}:={}'.format(*item))]
    log = Path(tempfile.mkstemp(suffix='.log')[1])
    command = [str(LOCALIZER), '--ros-args', '-r', f'__ns:={namespace}', *settings]
    process = subprocess.Popen(command, stdout=log.open('w'), stderr=subprocess.STDOUT)
    process.log = log
    return process


def end(process: subprocess.Popen, number: int = signal.SIGINT, timeout_s: float = 60) -> int:
    """Send a signal and wait; the exit status."""
    process.send_signal(number)
    try:
        return process.wait(timeout_s)
    finally:
        process.kill()


class Driver:
    """Publishes an image and its camera_info at 10 Hz and keeps what the localizer publishes."""

    def __init__(self, namespace: str = '/') -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node('driver', namespace=namespace, context=self._context)
        self.image: Image | None = None
        self.info: CameraInfo | None = None
        self.received = {topic: [] for topic in TYPES}
        for topic, kind in TYPES.items():
            self._node.create_subscription(kind, topic, self.received[topic].append, LATCHED)
        self._images = self._node.create_publisher(Image, 'image', qos_profile_sensor_data)
        self._infos = self._node.create_publisher(
            CameraInfo, 'camera_info', qos_profile_sensor_data
        )
        self._relocalize = self._node.create_client(Trigger, 'relocalize')
        self._node.create_timer(0.1, self._publish)
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, args=(executor,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        rclpy.shutdown(context=self._context)
        self._thread.join()

    def wait(self, ready, timeout_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not ready():
            assert time.monotonic() < deadline_s, 'it did not happen in time'
            time.sleep(0.02)

    def wait_for_service(self, process: subprocess.Popen) -> None:
        def ready() -> bool:
            assert process.poll() is None, process.log.read_text()
            return self._relocalize.service_is_ready()

        self.wait(ready)

    def subscribe_late(self, topic: str) -> list:
        """What a subscriber that comes now receives."""
        messages: list = []
        self._node.create_subscription(TYPES[topic], topic, messages.append, LATCHED)
        return messages

    def subscribe_tf(self) -> list:
        """The transforms that are sent from now on."""
        from tf2_msgs.msg import TFMessage

        messages: list = []
        self._node.create_subscription(TFMessage, '/tf', messages.append, 10)
        time.sleep(0.5)  # until the localizer knows of the subscription
        return messages

    def forget(self) -> None:
        for messages in self.received.values():
            messages.clear()

    def ask(self):
        """Call relocalize; the future of its answer."""
        return self._relocalize.call_async(Trigger.Request())

    def relocalize(self, timeout_s: float = 120.0) -> Trigger.Response:
        future = self.ask()
        self.wait(future.done, timeout_s)
        return future.result()

    def _publish(self) -> None:
        stamp = self._node.get_clock().now().to_msg()
        for message, publisher in ((self.info, self._infos), (self.image, self._images)):
            if message is not None:
                message.header.stamp = stamp
                message.header.frame_id = 'camera_optical'
                publisher.publish(message)

    @staticmethod
    def _spin(executor: SingleThreadedExecutor) -> None:
        try:
            executor.spin()
        except rclpy.executors.ExternalShutdownException:
            return
