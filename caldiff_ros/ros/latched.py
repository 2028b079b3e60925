# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Publishers whose last message also reaches later subscribers."""

from __future__ import annotations

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks

#: Reliable, and the last message is kept for those who come later.
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def latched_publisher(node: LifecycleNode, kind: type, topic: str):
    """A publisher without event handlers, as the executor of rclpy looks at each at every image.

    Nothing stronger can be offered, so they would only ever report a subscriber that asks for a
    deadline or for liveliness; the incompatibility is reported on its own side.

    Args:
        node: publishes, while it is active.
        kind: of the messages.
        topic: their name.
    """
    silent = PublisherEventCallbacks(use_default_callbacks=False)
    return node.create_lifecycle_publisher(kind, topic, LATCHED, event_callbacks=silent)
