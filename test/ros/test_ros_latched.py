# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from caldiff_ros.ros.latched import latched_publisher


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = LifecycleNode('latched', context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_latched_publisher_costs_the_executor_nothing(node):
    before = len(list(node.waitables))
    publisher = latched_publisher(node, PoseStamped, 'pose')
    assert len(list(node.waitables)) == before
    [offered] = node.get_publishers_info_by_topic(publisher.topic_name)
    assert offered.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert offered.qos_profile.reliability == ReliabilityPolicy.RELIABLE
