# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node publishes: particles while a localization runs, the answer when it ends."""

from __future__ import annotations

import time

import numpy as np
import torch
from geometry_msgs.msg import PoseArray, PoseStamped, PoseWithCovarianceStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from caldiff_ros.geometry import Pose
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.answer import Answer, CancelToken, Particles, Status
from caldiff_ros.msg import Localization
from caldiff_ros.nerf.surface import surface_points
from caldiff_ros.ros.conversions.answers import localization_msg
from caldiff_ros.ros.conversions.clouds import cloud_msg, cloud_origin
from caldiff_ros.ros.conversions.images import rgb_to_image
from caldiff_ros.ros.conversions.markers import answer_marker, camera_markers, particle_markers
from caldiff_ros.ros.conversions.poses import (
    pose_array,
    pose_stamped,
    pose_with_covariance_stamped,
    transform_stamped,
)
from caldiff_ros.ros.lifecycle import present
from caldiff_ros.ros.loaded_map import LoadedMap
from caldiff_ros.ros.tf import TransformOutput

#: Reliable, and the last message also reaches whoever subscribes later.
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
#: Shortest time between two refreshes of the particles; the last of a stage always goes out.
REFRESH_S = 0.01


class ParticleOutput:
    """Topics ``particles`` and ``particle_markers``; `show` is an observer of a localization.

    Args:
        node: publishes, while it is active.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._poses = node.create_lifecycle_publisher(PoseArray, 'particles', LATCHED)
        self._markers = node.create_lifecycle_publisher(MarkerArray, 'particle_markers', LATCHED)

        self._header = Header()
        self._shape: dict = {}
        self._lifetime_s = 0.0
        self._last: Particles | None = None
        self._shown = True
        self._shown_s = float('-inf')

    @property
    def publishers(self) -> list:
        """All of them."""
        return [self._poses, self._markers]

    def begin(self, header: Header, loaded_map: LoadedMap) -> None:
        """Use ``header``, stamp of the image and frame of the map, from now on."""
        self._header = header
        self._shape = {'camera': loaded_map.map.camera, 'depth': loaded_map.frustum_depth}
        self._lifetime_s = loaded_map.parameters.marker_lifetime
        self._forget()

    def show(self, particles: Particles) -> None:
        """Publish the particles of a step, unless the one before was published just now."""
        self._last = particles
        self._shown = False

        now_s = time.monotonic()
        if particles.step == particles.n_steps or now_s - self._shown_s >= REFRESH_S:
            self._publish(particles)
            self._shown_s = now_s

    def end(self, T_map_cam: np.ndarray | None) -> None:
        """Publish what was held back, and the answer (4, 4) among the last particles if any."""
        if self._last is not None and (T_map_cam is not None or not self._shown):
            self._publish(self._last, T_map_cam)

    def _forget(self) -> None:
        self._last = None
        self._shown = True
        self._shown_s = float('-inf')

    def _publish(self, particles: Particles, T_map_cam: np.ndarray | None = None) -> None:
        self._shown = True

        markers = particle_markers(particles, self._header, self._lifetime_s, **self._shape)
        if T_map_cam is not None:
            markers.markers.append(answer_marker(T_map_cam, self._header, **self._shape))

        self._markers.publish(markers)
        self._poses.publish(pose_array(particles.T_map_cam, self._header))


class AnswerOutput:
    """Topics ``localization``, ``pose``, ``pose_with_covariance`` and ``overlay``.

    Args:
        node: publishes, while it is active.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self.publishers = [
            node.create_lifecycle_publisher(kind, topic, LATCHED)
            for kind, topic in (
                (Localization, 'localization'),
                (PoseStamped, 'pose'),
                (PoseWithCovarianceStamped, 'pose_with_covariance'),
                (Image, 'overlay'),
            )
        ]
        self._localization, self._pose, self._with_covariance, self._overlay = self.publishers

    def publish(self, answer: Answer, header: Header) -> None:
        """Publish an answer; the pose goes out only if it can be trusted.

        Args:
            answer: of the localization.
            header: stamp of the image, frame of the map.
        """
        if answer.status is Status.LOCALIZED:
            pose = present(answer.T_map_cam)
            covariance = present(answer.covariance)
            self._pose.publish(pose_stamped(pose, header))
            self._with_covariance.publish(pose_with_covariance_stamped(pose, covariance, header))

        self._localization.publish(localization_msg(answer, header))

    def publish_overlay(self, rgb: np.ndarray, header: Header) -> None:
        """Publish the picture of query, render and difference, uint8 (H, W, 3)."""
        self._overlay.publish(rgb_to_image(rgb, header))


class MapOutput:
    """Topics ``map_cameras`` and ``map_points``: the map itself, for people.

    The points of a map far from its origin are published in a frame of their own, ``MAP_points``,
    which TF puts beside them: their messages hold single precision.

    Args:
        node: publishes, while it is active.
        tf: sends where that frame is.
    """

    def __init__(self, node: LifecycleNode, tf: TransformOutput) -> None:
        self._clock = node.get_clock()
        self._log = node.get_logger()
        self._tf = tf
        self._cameras = node.create_lifecycle_publisher(MarkerArray, 'map_cameras', LATCHED)
        self._points = node.create_lifecycle_publisher(PointCloud2, 'map_points', LATCHED)
        self._cameras_msg: MarkerArray | None = None
        self._points_msg: PointCloud2 | None = None

    @property
    def publishers(self) -> list:
        """All of them."""
        return [self._cameras, self._points]

    def make(self, loaded_map: LoadedMap, cancel: CancelToken) -> None:
        """Compute and publish what a map looks like, in a few seconds at most.

        Raises:
            Cancelled: if ``cancel`` was used.
        """
        localization_map = loaded_map.map
        header = Header(frame_id=loaded_map.frame, stamp=self._clock.now().to_msg())

        self._cameras_msg = camera_markers(
            localization_map.to_map(localization_map.training_cameras),
            header,
            localization_map.camera,
            depth=loaded_map.frustum_depth,
        )
        self._points_msg = None
        self.show()

        if loaded_map.parameters.map_points > 0:
            points_norm, rgb = surface_points(
                localization_map.field,
                localization_map.training_cameras.to(localization_map.field.aabb.device),
                localization_map.camera,
                n_points=loaded_map.parameters.map_points,
                check=cancel.raise_if_cancelled,
            )
            cancel.raise_if_cancelled()  # what was drawn too late belongs to another map
            points = _points_map(localization_map, points_norm)
            self._points_msg = self._cloud(points, rgb, header)
            self.show()

    def _cloud(self, points: np.ndarray, rgb: np.ndarray, header: Header) -> PointCloud2:
        """The message of points (N, 3) in the map."""
        origin = cloud_origin(points)
        if not origin.any():
            return cloud_msg(points, rgb, header)

        T_map_points = np.eye(4)
        T_map_points[:3, 3] = origin
        frame = f'{header.frame_id}_points'
        if self._tf.send_static(transform_stamped(T_map_points, header, frame)):
            header = Header(frame_id=frame, stamp=header.stamp)
            return cloud_msg(points - origin, rgb, header)

        self._log.warning(
            'the points on map_points are coarse, as the map is far from its origin and without '
            'tf2_ros they cannot have a frame of their own'
        )
        return cloud_msg(points, rgb, header)

    def show(self) -> None:
        """Publish what there is, again after an activation."""
        if self._cameras_msg is not None:
            self._cameras.publish(self._cameras_msg)

        if self._points_msg is not None:
            self._points.publish(self._points_msg)


def _points_map(localization_map: LocalizationMap, points_norm: np.ndarray) -> np.ndarray:
    """Points (N, 3) of the field's coordinates in the map."""
    R = torch.eye(3).expand(len(points_norm), 3, 3)
    return localization_map.to_map(Pose(R, torch.from_numpy(points_norm)))[:, :3, 3]
