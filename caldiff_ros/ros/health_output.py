# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Topic ``/diagnostics``, once a second, whatever the state of the node."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Header

from caldiff_ros.ros.diagnostics import CameraState, Statistics, diagnostics
from caldiff_ros.ros.inputs import Inputs
from caldiff_ros.ros.live_parameters import LiveParameters

#: Period of the diagnostics, and of the look whether images arrive.
CHECK_S = 1.0


class HealthOutput:
    """Publishes how the node is, and looks whether images arrive.

    Args:
        node: publishes.
        live: parameters and map of now.
        statistics: of the answers.
        state: label of the lifecycle, such as 'active'.
        inputs: the subscriptions; None while the node is not active.
    """

    def __init__(
        self,
        node: Node,
        *,
        live: LiveParameters,
        statistics: Statistics,
        state: Callable[[], str],
        inputs: Callable[[], Inputs | None],
    ) -> None:
        self._node = node
        self._live = live
        self._statistics = statistics
        self._state = state
        self._inputs = inputs

        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # also while simulated time stands still
        node.create_timer(CHECK_S, self._check, clock=steady)

    def _check(self) -> None:
        camera = None
        inputs = self._inputs()
        if inputs is not None:
            parameters = self._live.parameters
            camera = CameraState(inputs.check(parameters), inputs.values(parameters))

        self._publisher.publish(
            diagnostics(
                Header(stamp=self._node.get_clock().now().to_msg()),
                node_name=self._node.get_fully_qualified_name(),
                state=self._state(),
                loaded_map=self._live.loaded_map,
                statistics=self._statistics,
                camera=camera,
            )
        )
