# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TF: what the node looks up there and what it sends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import yaml
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from rclpy.timer import Timer
from std_msgs.msg import Header

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry.transforms import map_to_child
from caldiff_ros.localization.answer import CancelToken
from caldiff_ros.ros.conversions.poses import matrix_from_transform, transform_stamped
from caldiff_ros.ros.lifecycle import present
from caldiff_ros.ros.parameters import LocalizerParameters

#: Pause between two looks for a transform that is not known yet, as in tf2.
_POLL_S = 0.02


@dataclass(frozen=True)
class ChildFrame:
    """The frame that a localization puts into the map.

    Attributes:
        name: of the frame.
        T_child_cam: pose of the camera in it when the image was taken, (4, 4).
    """

    name: str
    T_child_cam: np.ndarray


class TransformOutput:
    """Looks transforms up and sends them.

    Without tf2_ros it does nothing but say so, once.

    Args:
        node: publishes and listens.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._log = node.get_logger()
        self._timer: Timer | None = None
        self._warned_of: set[tuple[str, str]] = set()
        self._sent: set[tuple[str, str]] = set()

        try:
            import tf2_ros
        except ImportError:
            self._buffer = None
            self._broadcaster = None
            self._log.warning(
                'tf2_ros cannot be imported, so no TF is published; the pose is on topic pose'
            )

            return

        # without a node: tf2_ros would clear it on jumps of a clock that is not the node's
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._broadcaster = tf2_ros.TransformBroadcaster(node)
        self._static_broadcaster = tf2_ros.StaticTransformBroadcaster(node)

    def start(self, parameters: LocalizerParameters, send_again: Callable[[Time], None]) -> None:
        """Call ``send_again`` with the stamp to use, at the rate of map_to_odom, from now on."""
        self.stop()
        repeated = parameters.tf_mode == 'map_to_odom' and parameters.tf_rate > 0
        if not repeated or self._broadcaster is None:
            return

        tolerance = Duration(seconds=parameters.transform_tolerance)
        clock = self._node.get_clock()
        self._timer = self._node.create_timer(
            1 / parameters.tf_rate, lambda: send_again(clock.now() + tolerance)
        )

    def stop(self) -> None:
        """Send nothing again."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def clear(self) -> None:
        """Forget what others sent, as when time went backwards."""
        if self._buffer is not None:
            self._buffer.clear()

    def send(self, transform: TransformStamped) -> None:
        """Send a transform."""
        if self._broadcaster is not None:
            self._sent.add((transform.header.frame_id, transform.child_frame_id))
            self._broadcaster.sendTransform(transform)

    def send_static(self, transform: TransformStamped) -> bool:
        """Send a transform that holds from now on; whether it could be sent."""
        if self._broadcaster is None:
            return False

        self._static_broadcaster.sendTransform(transform)
        return True

    def child_frame(
        self, header: Header, camera: str, parameters: LocalizerParameters, cancel: CancelToken
    ) -> ChildFrame | None:
        """What the transform of a localization will need; None if none will be sent.

        It is asked for when the image comes: TF remembers for 10 s only, and a localization may
        take longer.

        Args:
            header: stamp of the image, frame of the map.
            camera: frame of the camera.
            parameters: mode, frames and how long to wait.
            cancel: ends the wait.

        Raises:
            CaldiffError: if a transform that is needed is not known, or frames are not named.
            Cancelled: if ``cancel`` was used.
        """
        mode = parameters.tf_mode
        if self._broadcaster is None or mode == 'none':
            return None

        names = {'map_to_odom': parameters.odom_frame, 'map_to_base': parameters.base_frame}
        child = names.get(mode, camera)
        if child in ('', header.frame_id):
            raise CaldiffError(
                f'no TF is published: the child frame is {child!r}, expected the name of a frame '
                f'other than {header.frame_id!r}; set camera_frame, base_frame or odom_frame'
            )

        if mode == 'map_to_camera':
            self._warn_of_second_parent(child, header.frame_id)
            return ChildFrame(child, np.eye(4))

        moment = Time.from_msg(header.stamp)
        T_child_cam = self._wait_for(
            child, camera, moment, timeout_s=parameters.tf_timeout, cancel=cancel
        )
        return ChildFrame(child, T_child_cam)

    def look_up(self, target: str, source: str) -> np.ndarray:
        """The last T_target_source that is known, (4, 4).

        Raises:
            CaldiffError: if it is not known.
        """
        return self._wait_for(target, source, Time(), timeout_s=0.0, cancel=CancelToken())

    def _wait_for(
        self, target: str, source: str, moment: Time, timeout_s: float, cancel: CancelToken
    ) -> np.ndarray:
        """T_target_source at a moment, (4, 4)."""
        if self._buffer is None:
            raise CaldiffError(
                f'the transform from {target!r} to {source!r} is not known, as tf2_ros cannot be '
                'imported; install it'
            )

        from tf2_ros import TransformException

        deadline_s = time.monotonic() + timeout_s
        while True:
            cancel.raise_if_cancelled()
            try:
                found = self._buffer.lookup_transform(target, source, moment, timeout=Duration())
            except TransformException as error:
                if time.monotonic() >= deadline_s:
                    raise CaldiffError(
                        f'the transform from {target!r} to {source!r} is not known within '
                        f'{timeout_s:g} s ({error}), expected it in TF; check that it is '
                        'published, at the time of the images'
                    ) from error
            else:
                return matrix_from_transform(found.transform)

            time.sleep(_POLL_S)

    def _warn_of_second_parent(self, camera: str, map_frame: str) -> None:
        """A frame with two parents breaks the TF tree; warned of once."""
        parent = self._parent(camera)
        ours = parent in ('', map_frame) or (parent, camera) in self._sent
        if ours or (parent, camera) in self._warned_of:
            return

        self._warned_of.add((parent, camera))
        self._log.warning(
            f'the camera {camera!r} has the parent {parent!r} in TF already, expected none with '
            f'tf_mode map_to_camera, as {map_frame!r} would become a second parent and detach the '
            'camera from the robot; set tf_mode to map_to_odom or map_to_base'
        )

    def _parent(self, frame: str) -> str:
        """Frame that TF has another one in; empty if it has none."""
        frames = yaml.safe_load(present(self._buffer).all_frames_as_yaml()) or {}
        return frames.get(frame, {}).get('parent', '') if isinstance(frames, dict) else ''


def transform_of(
    T_map_cam: np.ndarray, child: ChildFrame, header: Header, parameters: LocalizerParameters
) -> TransformStamped:
    """The transform that a localization publishes.

    Args:
        T_map_cam: pose of the camera, (4, 4).
        child: frame to put into the map.
        header: stamp of the image, frame of the map.
        parameters: mode, and how far map_to_odom is dated ahead.
    """
    T_map_child = map_to_child(T_map_cam, child.T_child_cam)
    transform = transform_stamped(T_map_child, header, child.name)

    if parameters.tf_mode == 'map_to_odom':
        stamp = Time.from_msg(header.stamp) + Duration(seconds=parameters.transform_tolerance)
        transform.header = Header(frame_id=header.frame_id, stamp=stamp.to_msg())

    return transform
