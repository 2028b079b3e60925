# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask a running localizer where the camera is, by its service and by its action.

Start one first, such as ``ros2 launch caldiff_ros localize.launch.py demo:=true``. The service is
all that many robots need; the action tells its progress, returns the whole answer, and can be
cancelled.
"""

import sys

import rclpy
from caldiff_ros.action import Localize
from caldiff_ros.msg import Localization
from rclpy.action import ActionClient
from rclpy.node import Node
from std_srvs.srv import Trigger

DISCOVERY_S = 20.0


def call_service(node: Node) -> bool:
    """Relocalize and wait for the outcome; whether the pose can be trusted."""
    client = node.create_client(Trigger, 'relocalize')
    if not client.wait_for_service(DISCOVERY_S):
        sys.exit('no service relocalize was found; is the localizer running?')

    future = client.call_async(Trigger.Request())
    rclpy.spin_until_future_complete(node, future)
    response = future.result()
    print(f'service: {response.message}')

    return response.success


def send_goal(node: Node) -> Localization:
    """The same with progress; the whole answer."""
    client = ActionClient(node, Localize, 'localize')
    if not client.wait_for_server(DISCOVERY_S):
        sys.exit('no action localize was found; is the localizer running?')

    def show(message) -> None:
        feedback = message.feedback
        print(f'action: {feedback.stage}, {feedback.particles} particles, {feedback.progress:.0%}')

    sending = client.send_goal_async(Localize.Goal(), feedback_callback=show)
    rclpy.spin_until_future_complete(node, sending)
    ending = sending.result().get_result_async()
    rclpy.spin_until_future_complete(node, ending)

    return ending.result().result.localization


def main() -> int:
    """Status 0 if both ways gave a pose that can be trusted."""
    rclpy.init()
    node = rclpy.create_node('relocalize_client')
    try:
        succeeded = call_service(node)
        localization = send_goal(node)
    finally:
        node.destroy_node()
        rclpy.shutdown()

    position = localization.pose.position
    print(f'action: {localization.message}')
    print(f'camera at {position.x:.3f} {position.y:.3f} {position.z:.3f} in the map')
    return 0 if succeeded and localization.status == Localization.LOCALIZED else 1


if __name__ == '__main__':
    sys.exit(main())
