# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node publishes: particles while a localization runs, the answer when it ends."""

from __future__ import annotations

import time

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from caldiff_ros.geometry import Camera
from caldiff_ros.localization.answer import Answer, Particles, Status
from caldiff_ros.msg import Localization
from caldiff_ros.ros.answers import localization_msg
from caldiff_ros.ros.images import rgb_to_image
from caldiff_ros.ros.markers import answer_marker, particle_markers
from caldiff_ros.ros.poses import pose_array, pose_stamped, transform_stamped

#: Reliable, and the last message also reaches whoever subscribes later.
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
#: Shortest time between two refreshes of the particles; the last of a stage always goes out.
REFRESH_S = 0.01


class ParticleOutput:
    """Topics ``particles`` and ``particle_markers``; `show` is the observer of a localization.

    Args:
        node: publishes.
        camera, depth: shape of the frustums, see `markers.frustum_edges`.
    """

    def __init__(self, node: Node, camera: Camera, depth: float) -> None:
        self._poses = node.create_publisher(PoseArray, 'particles', LATCHED)
        self._markers = node.create_publisher(MarkerArray, 'particle_markers', LATCHED)
        self._shape = {'camera': camera, 'depth': depth}
        self.begin(Header())

    def begin(self, header: Header) -> None:
        """Use ``header``, stamp of the image and frame of the map, from now on."""
        self._header = header
        self._last: Particles | None = None
        self._shown = True
        self._shown_s = float('-inf')

    def show(self, particles: Particles) -> None:
        """Publish the particles of a step, unless the one before was published just now."""
        self._last, self._shown = particles, False
        now_s = time.monotonic()
        if particles.step == particles.n_steps or now_s - self._shown_s >= REFRESH_S:
            self._publish(particles)
            self._shown_s = now_s

    def end(self, T_map_cam: np.ndarray | None) -> None:
        """Publish what was held back, and the answer (4, 4) among the last particles if any."""
        if self._last is not None and (T_map_cam is not None or not self._shown):
            self._publish(self._last, T_map_cam)

    def _publish(self, particles: Particles, T_map_cam: np.ndarray | None = None) -> None:
        self._shown = True
        markers = particle_markers(particles, self._header, **self._shape)
        if T_map_cam is not None:
            markers.markers.append(answer_marker(T_map_cam, self._header, **self._shape))
        self._markers.publish(markers)
        self._poses.publish(pose_array(particles.T_map_cam, self._header))


class AnswerOutput:
    """Topics ``localization``, ``pose`` and ``overlay``, and the transform map to camera.

    Args:
        node: publishes.
        publish_tf: whether to send the transform.
        camera_frame: its child; empty for the frame of the image.
    """

    def __init__(self, node: Node, publish_tf: bool, camera_frame: str) -> None:
        self._log = node.get_logger()
        self._camera_frame = camera_frame
        self._localization = node.create_publisher(Localization, 'localization', LATCHED)
        self._pose = node.create_publisher(PoseStamped, 'pose', LATCHED)
        self._overlay = node.create_publisher(Image, 'overlay', LATCHED)
        self._broadcaster = self._make_broadcaster(node) if publish_tf else None

    def publish(self, answer: Answer, header: Header, image_frame: str) -> None:
        """Publish an answer; pose and transform go out only if it can be trusted.

        Args:
            answer: of the localization.
            header: stamp of the image, frame of the map.
            image_frame: frame of the image.
        """
        if answer.status is Status.LOCALIZED:
            self._pose.publish(pose_stamped(answer.T_map_cam, header))
            self._send_transform(answer.T_map_cam, header, self._camera_frame or image_frame)
        self._localization.publish(localization_msg(answer, header))

    def publish_overlay(self, rgb: np.ndarray, header: Header) -> None:
        """Publish the picture of query, render and difference, uint8 (H, W, 3)."""
        self._overlay.publish(rgb_to_image(rgb, header))

    def _make_broadcaster(self, node: Node):
        try:
            from tf2_ros import TransformBroadcaster
        except ImportError:
            self._log.warning(
                'tf2_ros cannot be imported, so no TF is published; the pose is on topic pose'
            )
            return None
        return TransformBroadcaster(node)

    def _send_transform(self, T_map_cam: np.ndarray, header: Header, child_frame: str) -> None:
        if self._broadcaster is None:
            return
        if child_frame in ('', header.frame_id):
            self._log.warning(
                f'no TF is published: the frame of the image is {child_frame!r}, expected the name '
                f'of a camera frame other than {header.frame_id!r}; set camera_frame',
                once=True,
            )
            return
        self._broadcaster.sendTransform(transform_stamped(T_map_cam, header, child_frame))
