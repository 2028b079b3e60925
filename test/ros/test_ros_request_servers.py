# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from caldiff_ros.localization.answer import Answer, Status
from caldiff_ros.ros.localization_queue import Outcome, Request
from caldiff_ros.ros.request_servers import RequestServers

FOUND = Answer(Status.LOCALIZED, 'found', np.eye(4), np.eye(6))


@pytest.fixture
def executor():
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(rclpy.create_node('servers', context=context))
    yield executor
    executor.shutdown()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    ('transform_problem', 'message'),
    [('', 'found'), ("'odom' is not known", "found; 'odom' is not known")],
)
def test_service_says_whether_the_pose_went_to_tf(executor, transform_problem, message):
    [node] = executor.get_nodes()
    request = Request(loaded_map=None, session=None, requested_s=0.0)
    request.outcome.set_result(Outcome(FOUND, Header(), transform_problem))
    group = ReentrantCallbackGroup()
    RequestServers(node, group=group, accept=lambda *_: request, queue=None)

    future = node.create_client(Trigger, 'relocalize').call_async(Trigger.Request())
    executor.spin_until_future_complete(future, 10)
    assert future.result().success and future.result().message == message
