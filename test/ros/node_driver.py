# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A localizer process and a ROS node that feeds it and listens to it, over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import rclpy
from ament_index_python import get_package_prefix
from builtin_interfaces.msg import Time
from caldiff_ros.action import Localize
from caldiff_ros.msg import Localization
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped, PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from caldiff_ros.ros.latched import LATCHED

LOCALIZER = Path(get_package_prefix('caldiff_ros')) / 'lib/caldiff_ros/localizer'
TYPES = {
    'localization': Localization,
    'pose': PoseStamped,
    'pose_with_covariance': PoseWithCovarianceStamped,
    'particles': PoseArray,
    'particle_markers': MarkerArray,
    'map_cameras': MarkerArray,
    'map_points': PointCloud2,
    'overlay': Image,
}
TRANSITIONS = {
    name: getattr(Transition, f'TRANSITION_{name.upper()}')
    for name in (
        'configure', 'activate', 'deactivate', 'cleanup', 'unconfigured_shutdown',
        'inactive_shutdown', 'active_shutdown',
    )
}  # fmt: skip


class LocalizerProcess(subprocess.Popen):
    """The executable; what it logged is in ``log``."""

    def __init__(self, namespace: str = '/', **parameters) -> None:
        settings = [part for item in parameters.items() for part in ('-p', '{}:={}'.format(*item))]
        descriptor, path = tempfile.mkstemp(suffix='.log')
        command = [str(LOCALIZER), '--ros-args', '-r', f'__ns:={namespace}', *settings]
        super().__init__(command, stdout=descriptor, stderr=subprocess.STDOUT)
        os.close(descriptor)
        self._path = Path(path)

    @property
    def log(self) -> str:
        return self._path.read_text()

    def memory_mb(self) -> float:
        pages = int(Path(f'/proc/{self.pid}/statm').read_text().split()[1])
        return pages * os.sysconf('SC_PAGE_SIZE') / 1e6

    def cpu_s(self) -> float:
        """Processor time that it has used, of all its threads."""
        fields = Path(f'/proc/{self.pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def end(self, number: int = signal.SIGINT, timeout_s: float = 60) -> int:
        """Send a signal and wait; the exit status."""
        self.send_signal(number)
        try:
            return self.wait(timeout_s)
        finally:
            self.kill()


class Driver:
    """Publishes an image and its camera_info (at 10 Hz) and keeps what the localizer publishes."""

    def __init__(self, namespace: str = '/', period_s: float = 0.1) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        node = rclpy.create_node('driver', namespace=namespace, context=self._context)
        self._node = node
        self.image: Image | CompressedImage | None = None
        self.info: CameraInfo | None = None
        self.frame = 'camera_optical'
        self.clock_s: float | None = None
        self.received = {topic: [] for topic in TYPES}
        for topic, kind in TYPES.items():
            node.create_subscription(kind, topic, self.received[topic].append, LATCHED)
        self.diagnostics: list[DiagnosticArray] = []
        node.create_subscription(DiagnosticArray, '/diagnostics', self.diagnostics.append, 10)
        self._images = {
            Image: node.create_publisher(Image, 'image', qos_profile_sensor_data),
            CompressedImage: node.create_publisher(
                CompressedImage, 'image/compressed', qos_profile_sensor_data
            ),
        }
        self._infos = node.create_publisher(CameraInfo, 'camera_info', qos_profile_sensor_data)
        self._priors = node.create_publisher(PoseWithCovarianceStamped, 'initialpose', 1)
        self._clock = node.create_publisher(Clock, '/clock', 10)
        self._services = {
            name: node.create_client(kind, name)
            for name, kind in {
                'relocalize': Trigger,
                'reinitialize_global_localization': Trigger,
                'localizer/change_state': ChangeState,
                'localizer/get_state': GetState,
                'localizer/set_parameters': SetParameters,
                'localizer/get_parameters': GetParameters,
                'localizer/describe_parameters': DescribeParameters,
            }.items()
        }
        self._action = ActionClient(node, Localize, 'localize')
        self._timer = node.create_timer(period_s, self._publish)
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(node)
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

    def wait_for_node(self, process: LocalizerProcess) -> None:
        def ready() -> bool:
            assert process.poll() is None, process.log
            services = all(client.service_is_ready() for client in self._services.values())
            return services and self._action.server_is_ready()

        self.wait(ready)

    def forget(self) -> None:
        for messages in self.received.values():
            messages.clear()

    @contextmanager
    def publishing_every(self, period_s: float):
        """Publish at another rate for a while."""
        before_ns = self._timer.timer_period_ns
        self._timer.timer_period_ns = round(1e9 * period_s)
        try:
            yield
        finally:
            self._timer.timer_period_ns = before_ns

    def publish_once(self, info: CameraInfo) -> None:
        """Publish a camera_info a single time, for subscribers that come later as well."""
        self._latched = self._node.create_publisher(CameraInfo, 'camera_info', LATCHED)
        self._latched.publish(info)

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

    def ask(self, service: str = 'relocalize'):
        """Call a trigger; the future of its answer."""
        return self._services[service].call_async(Trigger.Request())

    def relocalize(self, service: str = 'relocalize') -> Trigger.Response:
        return self.result(self.ask(service))

    def result(self, future, timeout_s: float = 120.0):
        self.wait(future.done, timeout_s)
        return future.result()

    def send_goal(self, feedback: list, *priors: PoseWithCovarianceStamped):
        """Start the action; its handle."""
        goal = Localize.Goal(prior=list(priors))
        future = self._action.send_goal_async(goal, lambda m: feedback.append(m.feedback))
        handle = self.result(future)
        assert handle.accepted
        return handle

    def send_prior(self, prior: PoseWithCovarianceStamped) -> None:
        self.wait(lambda: self._priors.get_subscription_count() > 0)
        self._priors.publish(prior)

    def change_state(self, transition: str) -> bool:
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        return self._call('change_state', request).success

    def state(self) -> str:
        return self._call('get_state', GetState.Request()).current_state.label

    def set(self, **values):
        """Set parameters one by one; the results."""
        parameters = [Parameter(name, value=v).to_parameter_msg() for name, v in values.items()]
        return self._call('set_parameters', SetParameters.Request(parameters=parameters)).results

    def get(self, name: str):
        values = self._call('get_parameters', GetParameters.Request(names=[name])).values
        return parameter_value_to_python(values[0])

    def describe(self, name: str):
        request = DescribeParameters.Request(names=[name])
        return self._call('describe_parameters', request).descriptors[0]

    def status(self, task: str):
        """Wait for new diagnostics; the status of a task and its values."""
        self.diagnostics.clear()

        def found() -> list:
            statuses = [s for array in self.diagnostics for s in array.status]
            return [status for status in statuses if status.name.endswith(task)]

        self.wait(found)
        status = found()[-1]
        return status, {pair.key: pair.value for pair in status.values}

    def _call(self, name: str, request):
        return self.result(self._services[f'localizer/{name}'].call_async(request))

    def _publish(self) -> None:
        stamp = self._node.get_clock().now().to_msg()
        if self.clock_s is not None:
            self.clock_s += 0.1
            stamp = Time(sec=int(self.clock_s), nanosec=int(self.clock_s % 1 * 1e9))
            self._clock.publish(Clock(clock=stamp))
        for message, publisher in (
            (self.info, self._infos),
            (self.image, self._images[type(self.image)] if self.image is not None else None),
        ):
            if message is not None:
                message.header.stamp = stamp
                message.header.frame_id = self.frame
                publisher.publish(message)

    @staticmethod
    def _spin(executor: SingleThreadedExecutor) -> None:
        try:
            executor.spin()
        except rclpy.executors.ExternalShutdownException:
            return
