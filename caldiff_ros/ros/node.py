# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The localizer node: images in, poses out; the work is done by `caldiff_ros.localization`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from caldiff_ros.ros.diagnostics import Statistics
from caldiff_ros.ros.health_output import HealthOutput
from caldiff_ros.ros.inputs import Inputs
from caldiff_ros.ros.latest_messages import LatestMessages
from caldiff_ros.ros.lifecycle import present, refuse_impossible_transitions, transition
from caldiff_ros.ros.live_parameters import LiveParameters
from caldiff_ros.ros.loaded_map import LoadedMap
from caldiff_ros.ros.localization_queue import LocalizationQueue
from caldiff_ros.ros.map_health import map_problem
from caldiff_ros.ros.outputs import Outputs
from caldiff_ros.ros.priors import prior_of_the_start
from caldiff_ros.ros.request_servers import RequestServers
from caldiff_ros.ros.sessions import Sessions
from caldiff_ros.ros.tf import TransformOutput
from caldiff_ros.ros.triggers import Triggers
from caldiff_ros.ros.worker import LocalizationWorker

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleState  # it has another name in Humble

#: Smallest jump back of the clock that starts a new time; a bag that begins again.
BACKWARD = Duration(seconds=-0.1)
#: Parameters that the picture of the map depends on.
SHOWN = {'map', 'map_frame', 'map_points', 'marker_size'}


class LocalizerNode(LifecycleNode):
    """Localizes at start, on request, on a prior, or continuously.

    The executor's thread only keeps messages and sends answers; one worker thread computes and
    publishes. Callbacks never block, so one thread is enough for the executor, and better: rclpy's
    `MultiThreadedExecutor` queues callbacks again and again while they wait for the interpreter
    lock, and a localization of 2 s then takes up to 40 s on 2 cores. Only reading a map, at a
    transition or for a parameter, lets the executor wait, as rclpy asks for the result at once.

    Raises:
        CaldiffError: if a parameter cannot be used.
        rclpy.exceptions.ParameterException: likewise.
    """

    def __init__(self) -> None:
        super().__init__('localizer')
        refuse_impossible_transitions(self)
        self._live = LiveParameters(self, self._on_change)
        self._inputs: Inputs | None = None  # None while not active
        self._outputs: Outputs | None = None  # None while not configured
        self._finalized = False

        self._create_worker()
        self._offer_requests()
        self._report_health()
        self._watch_the_clock()

    def _create_worker(self) -> None:
        if self._live.parameters.torch_threads:
            torch.set_num_threads(self._live.parameters.torch_threads)

        self._latest = LatestMessages()
        self._statistics = Statistics()
        self._tf = TransformOutput(self)

        worker = LocalizationWorker(self, self._latest, self._tf, statistics=self._statistics)
        self._queue = LocalizationQueue(worker, self._latest.wake)
        self._sessions = Sessions(self._queue, self._tf)

    def _offer_requests(self) -> None:
        self._triggers = Triggers(
            self,
            live=self._live,
            latest=self._latest,
            sessions=self._sessions,
            tf=self._tf,
            state=self._state,
        )
        self._group = ReentrantCallbackGroup()
        self._servers = RequestServers(
            self, group=self._group, accept=self._triggers.accept, queue=self._queue
        )

    def _report_health(self) -> None:
        self._health = HealthOutput(
            self,
            live=self._live,
            statistics=self._statistics,
            state=self._state,
            inputs=lambda: self._inputs,
        )

    def _watch_the_clock(self) -> None:
        threshold = JumpThreshold(min_forward=None, min_backward=BACKWARD, on_clock_change=False)
        self._jump = self.get_clock().create_jump_callback(threshold, post_callback=self._on_jump)

    def autostart(self) -> bool:
        """Configure and activate if the parameter says so; False, with a log, if that fails."""
        if not self._live.parameters.autostart:
            return True

        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def close(self) -> None:
        """Stop a running localization and wait for its thread."""
        self._queue.close()

    # Lifecycle

    @transition
    def on_configure(self, state: LifecycleState) -> None:
        """Load the map and offer the topics."""
        loaded_map = self._live.load()
        self._sessions.next_prior = prior_of_the_start(loaded_map, self.get_logger())
        self._outputs = Outputs.create(self, self._tf)
        self._show_map()
        super().on_configure(state)

        self.get_logger().info(loaded_map.description)
        self._warn_of_map()

    @transition
    def on_activate(self, state: LifecycleState) -> None:
        """Publish and subscribe."""
        super().on_activate(state)
        outputs = present(self._outputs)
        outputs.map.show()
        self._latest.reset()
        self._triggers.begin_again()
        self._sessions.open(outputs, self._live.parameters)
        self._tf.start(self._live.parameters, self._sessions.send_transform_again)
        self._subscribe()

    @transition
    def on_deactivate(self, state: LifecycleState) -> None:
        """Stop what runs, unsubscribe and publish no more."""
        self._stop(state)

    @transition
    def on_cleanup(self, state: LifecycleState) -> None:
        """Free map and model."""
        self._free()

    @transition
    def on_shutdown(self, state: LifecycleState) -> None:
        """Stop, then free everything, from any state."""
        self._stop(state)
        self._free()
        self._finalized = True

    @transition
    def on_error(self, state: LifecycleState) -> None:
        """Go back to unconfigured, without anything that a failed transition left."""
        self._stop(state)
        self._free()

    def _subscribe(self) -> None:
        self._inputs = Inputs(
            self,
            group=self._group,
            latest=self._latest,
            parameters=self._live.parameters,
            on_arrival=self._triggers.on_arrival,
            on_prior=self._triggers.on_initialpose,
        )

    def _stop(self, state: LifecycleState) -> None:
        self._sessions.end('the node was deactivated')
        self._tf.stop()
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None

        super().on_deactivate(state)

    def _free(self) -> None:
        self._live.free()
        self._sessions.next_prior = None
        if self._outputs is not None:
            self._outputs.destroy(self)
            self._outputs = None

    def _state(self) -> str:
        if self._sessions.current is not None:
            return 'active'

        if self._finalized:
            return 'finalized'

        return 'unconfigured' if self._live.loaded_map is None else 'inactive'

    # What happens to the node

    def _on_jump(self, jump: TimeJump) -> None:
        seconds = jump.delta.nanoseconds * 1e-9
        self.get_logger().warning(f'time jumped by {seconds:.1f} s, so images and TF are discarded')
        self._sessions.close('time jumped back')
        self._latest.forget_image()
        self._tf.clear()
        self._triggers.begin_again()

        if self._sessions.current is not None:
            self._sessions.open(present(self._outputs), self._live.parameters)
            present(self._inputs).expect_again()

    def _on_change(self, changed: set[str]) -> None:
        """Follow the parameters that changed."""
        loaded_map = self._live.loaded_map
        if loaded_map is not None and 'map' in changed:
            self._change_map(loaded_map)

        if loaded_map is not None and changed & SHOWN:
            self._show_map()

        session = self._sessions.current
        if session is not None:
            session.follow(self._live.parameters)
            self._tf.start(self._live.parameters, self._sessions.send_transform_again)

    def _change_map(self, loaded_map: LoadedMap) -> None:
        self._sessions.close('the map was changed')
        if self._sessions.current is not None:
            self._sessions.open(present(self._outputs), self._live.parameters)

        self.get_logger().info(f'the map is {loaded_map.map.name} now')
        self._warn_of_map()

    def _show_map(self) -> None:
        """Let the worker make the picture of the map."""
        output = present(self._outputs).map
        self._queue.run_in_background(
            functools.partial(output.try_to_make, present(self._live.loaded_map))
        )

    def _warn_of_map(self) -> None:
        problem = map_problem(present(self._live.loaded_map).map)
        if problem:
            self.get_logger().warning(problem)
