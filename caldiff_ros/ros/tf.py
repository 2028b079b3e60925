# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TF: what the node looks up there and what it sends."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry.transforms import map_to_child
from caldiff_ros.ros.conversions.poses import matrix_from_transform, transform_stamped
from caldiff_ros.ros.parameters import LocalizerParameters


class TransformOutput:
    """The transform of the last localization, by ``tf_mode``, and look-ups for it.

    Without tf2_ros it does nothing but say so, once.

    Args:
        node: publishes and listens.
    """

    def __init__(self, node: Node) -> None:
        self._node, self._log = node, node.get_logger()
        self._held: TransformStamped | None = None
        self._tolerance_s = 0.0
        self._timer = None
        try:
            import tf2_ros
        except ImportError:
            self._buffer = self._broadcaster = None
            self._log.warning(
                'tf2_ros cannot be imported, so no TF is published; the pose is on topic pose'
            )
            return
        # without a node: tf2_ros would clear it on jumps of a clock that is not the node's
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._broadcaster = tf2_ros.TransformBroadcaster(node)

    def start(self, parameters: LocalizerParameters) -> None:
        """Send map_to_odom again at its rate, from now on."""
        self._stop_timer()
        self._tolerance_s = parameters.transform_tolerance
        repeated = parameters.tf_mode == 'map_to_odom' and parameters.tf_rate > 0
        if repeated and self._broadcaster is not None:
            self._timer = self._node.create_timer(1 / parameters.tf_rate, self._send_again)

    def stop(self) -> None:
        """Forget the last transform and send nothing more."""
        self._stop_timer()
        self.forget()

    def forget(self) -> None:
        """Send the last transform no more, as it belongs to another map or frame."""
        self._held = None

    def reset(self) -> None:
        """Forget everything, as when time went backwards."""
        self.forget()
        if self._buffer is not None:
            self._buffer.clear()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def publish(
        self, T_map_cam: np.ndarray, header: Header, camera: str, parameters: LocalizerParameters
    ) -> None:
        """Send the transform for a pose (4, 4).

        Args:
            T_map_cam: pose of the camera.
            header: stamp of the image, frame of the map.
            camera: frame of the camera.
            parameters: mode, frames and times.

        Raises:
            CaldiffError: if a transform that is needed is not known, or frames are not named.
        """
        mode = parameters.tf_mode
        if self._broadcaster is None or mode == 'none':
            return
        child = {'map_to_odom': parameters.odom_frame, 'map_to_base': parameters.base_frame}.get(
            mode, camera
        )
        if child in ('', header.frame_id):
            raise CaldiffError(
                f'no TF is published: the child frame is {child!r}, expected the name of a frame '
                f'other than {header.frame_id!r}; set camera_frame, base_frame or odom_frame'
            )
        T_map_child = T_map_cam
        if mode != 'map_to_camera':
            T_child_cam = self.look_up(child, camera, header, parameters.tf_timeout)
            T_map_child = map_to_child(T_map_cam, T_child_cam)
        transform = transform_stamped(T_map_child, header, child)
        if mode == 'map_to_odom':
            stamp = Time.from_msg(header.stamp) + Duration(seconds=parameters.transform_tolerance)
            transform.header = Header(frame_id=header.frame_id, stamp=stamp.to_msg())
            self._held = transform
        self._broadcaster.sendTransform(transform)

    def look_up(
        self, target: str, source: str, header: Header | None, timeout_s: float
    ) -> np.ndarray:
        """T_target_source, (4, 4).

        Args:
            target: frame that the matrix takes to.
            source: frame that it takes from.
            header: its stamp is the moment; None for the last one known.
            timeout_s: how long to wait for it, only in the worker's thread.

        Raises:
            CaldiffError: if it is not known.
        """
        if self._buffer is None:
            raise CaldiffError(
                f'the transform from {target!r} to {source!r} is not known, as tf2_ros cannot be '
                'imported; install it'
            )
        from tf2_ros import TransformException

        moment = Time() if header is None else Time.from_msg(header.stamp)
        timeout = Duration(seconds=timeout_s)
        try:
            found = self._buffer.lookup_transform(target, source, moment, timeout)
        except TransformException as error:
            raise CaldiffError(
                f'the transform from {target!r} to {source!r} is not known within {timeout_s:g} s '
                f'({error}), expected it in TF; check that it is published, at the time of the '
                'images'
            ) from error
        return matrix_from_transform(found.transform)

    def _send_again(self) -> None:
        held = self._held
        if held is None:
            return
        stamp = self._node.get_clock().now() + Duration(seconds=self._tolerance_s)
        held.header.stamp = stamp.to_msg()
        self._broadcaster.sendTransform(held)
