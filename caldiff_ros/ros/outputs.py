# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node publishes: particles while a localization runs, the answer when it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseArray, PoseStamped, PoseWithCovarianceStamped
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from caldiff_ros.localization.answer import Answer, Particles, Status
from caldiff_ros.msg import Localization
from caldiff_ros.ros.conversions.answers import localization_msg
from caldiff_ros.ros.conversions.images import rgb_to_image
from caldiff_ros.ros.conversions.markers import answer_marker, particle_markers
from caldiff_ros.ros.conversions.poses import (
    pose_array,
    pose_stamped,
    pose_with_covariance_stamped,
)
from caldiff_ros.ros.latched import latched_publisher
from caldiff_ros.ros.lifecycle import present
from caldiff_ros.ros.loaded_map import LoadedMap
from caldiff_ros.ros.map_output import MapOutput
from caldiff_ros.ros.tf import TransformOutput

#: Shortest time between two refreshes of the particles; the last of a stage always goes out.
REFRESH_S = 0.01


class ParticleOutput:
    """Topics ``particles`` and ``particle_markers``; `show` is an observer of a localization.

    Args:
        node: publishes, while it is active.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._poses = latched_publisher(node, PoseArray, 'particles')
        self._markers = latched_publisher(node, MarkerArray, 'particle_markers')

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
            latched_publisher(node, kind, topic)
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


@dataclass(frozen=True)
class Outputs:
    """What a configured node publishes.

    Attributes:
        particles: while a localization runs.
        answers: when it ends.
        map: once, and again when it is another one.
    """

    particles: ParticleOutput
    answers: AnswerOutput
    map: MapOutput

    @classmethod
    def create(cls, node: LifecycleNode, tf: TransformOutput) -> Outputs:
        """Offer the topics; ``tf`` sends where the points of the map are."""
        return cls(ParticleOutput(node), AnswerOutput(node), MapOutput(node, tf))

    def destroy(self, node: LifecycleNode) -> None:
        """Offer them no more."""
        for output in (self.particles, self.answers, self.map):
            for publisher in output.publishers:
                node.destroy_lifecycle_publisher(publisher)
