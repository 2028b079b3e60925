# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The localizer node: images in, poses out; the work is done by `caldiff_ros.localization`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from std_msgs.msg import Header

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import Cancelled, CancelToken, Observer
from caldiff_ros.localization.prior import Prior
from caldiff_ros.ros.desk import BUSY, Desk, Request
from caldiff_ros.ros.diagnostics import Statistics, diagnostics
from caldiff_ros.ros.engine import Engine, map_path
from caldiff_ros.ros.front import Front
from caldiff_ros.ros.inbox import Inbox
from caldiff_ros.ros.inputs import Inputs
from caldiff_ros.ros.lifecycle import transition
from caldiff_ros.ros.outputs import AnswerOutput, MapOutput, ParticleOutput
from caldiff_ros.ros.priors import prior_from_msg, read_saved_pose
from caldiff_ros.ros.problems import named
from caldiff_ros.ros.schedule import Schedule
from caldiff_ros.ros.settings import Settings
from caldiff_ros.ros.tf import TransformOutput
from caldiff_ros.ros.work import Work

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleState  # it has another name in Humble

#: Period of the diagnostics, and of the look whether images arrive.
CHECK_S = 1.0
#: Smallest jump back of the clock that starts a new time; a bag that begins again.
BACKWARD = Duration(seconds=-0.1)
#: Parameters that the picture of the map, and the transform that is sent again, depend on.
SHOWN = {'map', 'map_frame', 'map_points', 'marker_size'}
SENT = {'map', 'map_frame', 'odom_frame', 'tf_mode'}


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
        self._settings = Settings(self, self._on_change)
        if self._settings.parameters.torch_threads:
            torch.set_num_threads(self._settings.parameters.torch_threads)
        self._inputs: Inputs | None = None  # None while not active
        self._map_output: MapOutput | None = None  # None while not configured
        self._finalized = False
        self._inbox, self._schedule, self._statistics = Inbox(), Schedule(), Statistics()
        self._tf = TransformOutput(self)
        self._work = Work(self, self._inbox, self._tf, self._statistics)
        self._desk = Desk(self._work, self._inbox.wake)
        self._group = ReentrantCallbackGroup()
        self._front = Front(self, self._group, self._accept, self._desk)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # also while simulated time stands still
        self.create_timer(CHECK_S, self._check, clock=steady)
        threshold = JumpThreshold(min_forward=None, min_backward=BACKWARD, on_clock_change=False)
        self._jump = self.get_clock().create_jump_callback(threshold, post_callback=self._on_jump)

    def autostart(self) -> bool:
        """Configure and activate if the parameter says so; False, with a log, if that fails."""
        if not self._settings.parameters.autostart:
            return True
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def close(self) -> None:
        """Stop a running localization and wait for its thread."""
        self._desk.close()

    # Lifecycle

    @transition
    def on_configure(self, state: LifecycleState) -> None:
        """Load the map and offer the topics."""
        engine = self._settings.load()
        self._work.prior = self._saved_prior(engine)
        self._work.particles, self._work.answers = ParticleOutput(self), AnswerOutput(self)
        self._map_output = MapOutput(self)
        self._show_map()
        super().on_configure(state)
        self.get_logger().info(
            f'map {engine.map.name} loaded from {map_path(engine.parameters)}, frame '
            f'{engine.frame}, computing on {engine.localizer.device}'
        )

    @transition
    def on_activate(self, state: LifecycleState) -> None:
        """Publish and subscribe."""
        super().on_activate(state)
        self._map_output.show()
        self._inbox.reset()
        self._schedule, self._work.start_pending = Schedule(), True
        parameters = self._settings.parameters
        self._tf.start(parameters)
        self._inputs = Inputs(
            self, self._group, self._inbox, parameters, self._on_arrival, self._on_initialpose
        )

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

    def _stop(self, state: LifecycleState) -> None:
        self._desk.stop('the node was deactivated')
        self._tf.stop()
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        super().on_deactivate(state)

    def _free(self) -> None:
        self._settings.free()
        if self._map_output is None:
            return
        for output in (self._work.particles, self._work.answers, self._map_output):
            for publisher in output.publishers:
                self.destroy_lifecycle_publisher(publisher)
        self._map_output = None

    def _state(self) -> str:
        if self._inputs is not None:
            return 'active'
        if self._finalized:
            return 'finalized'
        return 'unconfigured' if self._settings.engine is None else 'inactive'

    # What happens to the node, in the executor's thread

    def _accept(
        self, prior: PoseWithCovarianceStamped | None, observer: Observer | None
    ) -> Request:
        if self._inputs is None:
            raise CaldiffError(
                f'the node is {self._state()}, expected active; let its lifecycle be managed, or '
                'configure and activate it by hand'
            )
        guess = None if prior is None else self._prior(prior)
        request = Request(self._settings.engine, time.monotonic(), prior=guess, observer=observer)
        if not self._desk.submit(request):
            raise CaldiffError(BUSY)
        return request

    def _on_arrival(self) -> None:
        parameters, now_s = self._settings.parameters, time.monotonic()
        camera_known = self._inbox.has_info or parameters.use_map_camera
        if not camera_known or not self._schedule.due(
            parameters, now_s, self._inbox.image_received_s, self._work.start_pending
        ):
            return
        if self._desk.submit(Request(self._settings.engine, float('-inf'), explicit=False)):
            self._schedule.last_attempt_s = now_s

    def _on_initialpose(self, message: PoseWithCovarianceStamped) -> None:
        try:
            self._work.prior = self._prior(message)
        except CaldiffError as error:
            self.get_logger().warning(f'initialpose: {error}')
            return
        if self._settings.parameters.localize_on_initialpose:
            # if it is busy, the prior stays for the next localization
            self._desk.submit(Request(self._settings.engine, time.monotonic()))

    def _prior(self, message: PoseWithCovarianceStamped) -> Prior:
        parameters, T_base_cam = self._settings.parameters, np.eye(4)
        if parameters.base_frame:
            camera = parameters.camera_frame or self._inbox.image_frame
            T_base_cam = self._tf.look_up(parameters.base_frame, camera, None, 0.0)
        return prior_from_msg(message, self._settings.engine.frame, T_base_cam)

    def _saved_prior(self, engine: Engine) -> Prior | None:
        if not engine.parameters.saved_pose_path:
            return None
        path = Path(engine.parameters.saved_pose_path).expanduser()
        try:
            prior = read_saved_pose(path, engine.map)
        except CaldiffError as error:
            self.get_logger().warning(str(error))
            return None
        if prior is not None:
            self.get_logger().info(f'the pose saved in {path} is the prior of the start')
        return prior

    def _on_jump(self, jump: TimeJump) -> None:
        seconds = jump.delta.nanoseconds * 1e-9
        self.get_logger().warning(f'time jumped by {seconds:.1f} s, so images and TF are forgotten')
        self._desk.cancel_current('time jumped back')
        self._inbox.forget_image()
        self._tf.reset()
        self._work.prior = None
        self._schedule = Schedule()

    def _on_change(self, changed: set[str]) -> None:
        """Follow the parameters that changed."""
        engine = self._settings.engine
        if engine is not None and 'map' in changed:
            self._desk.cancel_current('the map was changed')
            self._work.prior, self._work.start_pending = None, True
            self.get_logger().info(f'the map is {engine.map.name} now')
        if engine is not None and changed & SHOWN:
            self._show_map()
        if changed & SENT:
            self._tf.forget()
        if self._inputs is not None:
            self._tf.start(self._settings.parameters)

    def _check(self) -> None:
        problem = ''
        if self._inputs is not None:
            problem = self._inputs.check(self._settings.parameters)
        header = Header(stamp=self.get_clock().now().to_msg())
        name, engine = self.get_fully_qualified_name(), self._settings.engine
        self._diagnostics.publish(
            diagnostics(header, name, self._state(), engine, self._statistics, problem)
        )

    def _show_map(self) -> None:
        """Let the worker make the picture of the map."""
        output, engine, log = self._map_output, self._settings.engine, self.get_logger()

        def make(cancel: CancelToken) -> None:
            try:
                output.make(engine, cancel)
            except Cancelled:
                return
            except Exception as error:  # only a picture
                log.warning(f'the map is not shown: {named(error)}')

        self._desk.run_in_background(make)
