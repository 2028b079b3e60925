# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node subscribes to, and warnings about what does not arrive."""

from __future__ import annotations

import time
from collections.abc import Callable

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from caldiff_ros.ros.latest_messages import LatestMessages, Unread
from caldiff_ros.ros.parameters import LocalizerParameters

#: What parameters can override of a subscription.
_OVERRIDABLE = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY,
)


class Inputs:
    """The subscriptions of an active node; they end with `close`.

    Args:
        node: subscribes.
        group: of the callbacks.
        latest: receives images and camera_info.
        parameters: say how images come.
        on_arrival: called after an image, or the first camera_info, was put into the latest.
        on_prior: called with every message on ``initialpose``.
    """

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        latest: LatestMessages,
        parameters: LocalizerParameters,
        on_arrival: Callable[[], None],
        on_prior: Callable[[PoseWithCovarianceStamped], None],
    ) -> None:
        self._node = node
        self._log = node.get_logger()
        self._group = group
        self._latest = latest
        self._on_arrival = on_arrival
        self._problem = ''
        self._counted = (time.monotonic(), latest.images_received)
        self.expect_again()

        compressed = parameters.image_transport == 'compressed'
        self._image_kind = CompressedImage if compressed else Image
        # beside the raw topic, wherever that was remapped to, as image_transport has it
        image = node.resolve_topic_name('image') + '/compressed' if compressed else 'image'
        sensor = {'depth': 1, 'reliability': ReliabilityPolicy.BEST_EFFORT}
        self._subscriptions = [
            self._subscribe(self._image_kind, image, self._on_image, qos=sensor, raw=True),
            self._subscribe(CameraInfo, 'camera_info', self._on_info, qos=sensor, raw=True),
            self._subscribe(PoseWithCovarianceStamped, 'initialpose', on_prior, qos={'depth': 1}),
            self._subscribe_latched_info(),
        ]

        self._image_topic, self._info_topic = (s.topic_name for s in self._subscriptions[:2])
        self._log.info(f'waiting for {self._image_topic} and {self._info_topic}')

    def close(self) -> None:
        """Subscribe to nothing any more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def expect_again(self) -> None:
        """Count the time without images from now on, as after a jump of the clock."""
        self._since_s = time.monotonic()

    def check(self, parameters: LocalizerParameters) -> str:
        """Why images cannot be localized, empty if they can; changes of it are logged."""
        problem = self._find_problem(parameters)
        if problem and problem != self._problem:
            self._log.warning(problem)
        elif self._problem and not problem:
            self._log.info(f'images arrive on {self._image_topic}')

        self._problem = problem
        return problem

    def values(self, parameters: LocalizerParameters) -> dict[str, str]:
        """What arrives, by what it is called in /diagnostics; rates are since the last call."""
        before_s, before = self._counted
        now_s, count = self._counted = time.monotonic(), self._latest.images_received
        calibration = 'of the map' if parameters.use_map_camera else 'missing'

        values = {
            'image topic': self._image_topic,
            'publishers of images': str(self._node.count_publishers(self._image_topic)),
            'images per second': f'{(count - before) / max(now_s - before_s, 1e-3):.1f}',
            'camera_info topic': self._info_topic,
            'camera_info': 'received' if self._latest.has_info else calibration,
        }
        if self._latest.image_received_s > float('-inf'):
            values['age of last image in s'] = f'{now_s - self._latest.image_received_s:.1f}'

        return values

    def _find_problem(self, parameters: LocalizerParameters) -> str:
        timeout_s = max(1.0, parameters.image_timeout)
        now_s = time.monotonic()
        if now_s - max(self._since_s, self._latest.image_received_s) > timeout_s:
            return (
                f'no image arrived on {self._image_topic} for {timeout_s:g} s, expected at least '
                'one; check the topic name and that the camera is running'
            )

        if self._latest.has_info or parameters.use_map_camera or now_s - self._since_s < timeout_s:
            return ''

        return (
            f'images arrive but no camera_info on {self._info_topic}, expected the calibration of '
            'the camera; publish it, or set use_map_camera to use that of the map'
        )

    def _subscribe(
        self, kind: type, topic: str, callback: Callable, *, qos: dict, raw: bool = False
    ):
        def on_incompatible(event) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            self._log.warning(
                f'a publisher on {topic} offers another {policy} than requested, so its messages '
                f'are not received; set qos_overrides.{self._node.resolve_topic_name(topic)}'
                f'.subscription.{policy.lower()}'
            )

        return self._node.create_subscription(
            kind,
            topic,
            callback,
            qos_profile=QoSProfile(**qos),  # of its own, as the overrides are written into it
            callback_group=self._group,
            # none of rclpy's own: Fast DDS reports no wrong type, and each costs at every image
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=on_incompatible, use_default_callbacks=False
            ),
            qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE),
            raw=raw,
        )

    def _subscribe_latched_info(self):
        """Hear a camera_info that was published once, before the node was there.

        One subscription cannot do both: DDS keeps the past for those only who ask for it, and then
        gives them nothing from publishers that do not keep it. What comes twice does no harm.
        """
        latched = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )

        return self._node.create_subscription(
            CameraInfo,
            'camera_info',
            self._on_info,
            qos_profile=latched,
            callback_group=self._group,
            # most publishers do not keep the past: the other subscription hears them, and warns
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            raw=True,
        )

    def _on_image(self, data: bytes) -> None:
        self._latest.put_image(Unread(data, self._image_kind))
        self._on_arrival()

    def _on_info(self, data: bytes) -> None:
        first = not self._latest.has_info
        self._latest.put_info(Unread(data, CameraInfo))
        if first:  # an image may have waited for it
            self._on_arrival()
