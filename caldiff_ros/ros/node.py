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
from rclpy.time import Time
from std_msgs.msg import Header

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import Cancelled, CancelToken, Observer
from caldiff_ros.localization.prior import Prior
from caldiff_ros.ros.diagnostics import Statistics, diagnostics
from caldiff_ros.ros.inputs import Inputs
from caldiff_ros.ros.latest_messages import LatestMessages
from caldiff_ros.ros.lifecycle import present, transition
from caldiff_ros.ros.live_parameters import LiveParameters
from caldiff_ros.ros.loaded_map import LoadedMap, map_path
from caldiff_ros.ros.localization_queue import BUSY, LocalizationQueue, Request
from caldiff_ros.ros.outputs import AnswerOutput, MapOutput, ParticleOutput
from caldiff_ros.ros.priors import prior_from_msg, read_saved_pose
from caldiff_ros.ros.problems import describe_exception
from caldiff_ros.ros.request_servers import RequestServers
from caldiff_ros.ros.schedule import Schedule
from caldiff_ros.ros.session import Session
from caldiff_ros.ros.tf import TransformOutput
from caldiff_ros.ros.worker import LocalizationWorker

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleState  # it has another name in Humble

#: Period of the diagnostics, and of the look whether images arrive.
CHECK_S = 1.0
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
        self._live = LiveParameters(self, self._on_change)
        self._limit_threads()

        self._session: Session | None = None  # None while not active
        self._inputs: Inputs | None = None  # None while not active
        self._particles: ParticleOutput | None = None  # None while not configured, like the next
        self._answers: AnswerOutput | None = None
        self._map_output: MapOutput | None = None
        self._prior: Prior | None = None  # for the session that begins next
        self._finalized = False

        self._create_worker()
        self._offer_requests()
        self._start_diagnostics()
        self._watch_the_clock()

    def _limit_threads(self) -> None:
        if self._live.parameters.torch_threads:
            torch.set_num_threads(self._live.parameters.torch_threads)

    def _create_worker(self) -> None:
        self._latest = LatestMessages()
        self._schedule = Schedule()
        self._statistics = Statistics()
        self._tf = TransformOutput(self)

        worker = LocalizationWorker(self, self._latest, self._tf, statistics=self._statistics)
        self._queue = LocalizationQueue(worker, self._latest.wake)

    def _offer_requests(self) -> None:
        self._group = ReentrantCallbackGroup()
        self._servers = RequestServers(
            self, group=self._group, accept=self._accept, queue=self._queue
        )

    def _start_diagnostics(self) -> None:
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # also while simulated time stands still
        self.create_timer(CHECK_S, self._check, clock=steady)

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
        self._prior = self._saved_prior(loaded_map)
        self._create_publishers()
        self._show_map()
        super().on_configure(state)

        self.get_logger().info(
            f'map {loaded_map.map.name} loaded from {map_path(loaded_map.parameters)}, frame '
            f'{loaded_map.frame}, computing on {loaded_map.localizer.device}'
        )

    @transition
    def on_activate(self, state: LifecycleState) -> None:
        """Publish and subscribe."""
        super().on_activate(state)
        present(self._map_output).show()
        self._latest.reset()
        self._schedule = Schedule()
        self._open_session()
        self._tf.start(self._live.parameters, self._send_transform_again)
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

    def _create_publishers(self) -> None:
        self._particles = ParticleOutput(self)
        self._answers = AnswerOutput(self)
        self._map_output = MapOutput(self, self._tf)

    def _subscribe(self) -> None:
        self._inputs = Inputs(
            self,
            group=self._group,
            latest=self._latest,
            parameters=self._live.parameters,
            on_arrival=self._on_arrival,
            on_prior=self._on_initialpose,
        )

    def _open_session(self) -> None:
        self._session = Session(
            particles=present(self._particles),
            answers=present(self._answers),
            tf=self._tf,
            parameters=self._live.parameters,
            prior=self._prior,
        )
        self._prior = None

    def _send_transform_again(self, stamp: Time) -> None:
        if self._session is not None:
            self._session.send_transform_again(stamp)

    def _close_session(self, reason: str) -> None:
        """Let nothing of the session out any more, then end what runs in it."""
        if self._session is not None:
            self._session.close(reason)

        self._queue.cancel_current(reason)

    def _stop(self, state: LifecycleState) -> None:
        self._close_session('the node was deactivated')
        if self._session is not None:
            self._prior = self._session.prior  # it still serves the next activation
            self._session = None

        self._queue.stop('the node was deactivated')
        self._tf.stop()
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None

        super().on_deactivate(state)

    def _free(self) -> None:
        self._live.free()
        self._prior = None
        if self._map_output is None:
            return

        outputs = (present(self._particles), present(self._answers), self._map_output)
        for publisher in [publisher for output in outputs for publisher in output.publishers]:
            self.destroy_lifecycle_publisher(publisher)

        self._particles = None
        self._answers = None
        self._map_output = None

    def _state(self) -> str:
        if self._session is not None:
            return 'active'

        if self._finalized:
            return 'finalized'

        return 'unconfigured' if self._live.loaded_map is None else 'inactive'

    # What happens to the node, in the executor's thread

    def _accept(
        self, prior: PoseWithCovarianceStamped | None, observer: Observer | None
    ) -> Request:
        if self._session is None:
            raise CaldiffError(
                f'the node is {self._state()}, expected active; let its lifecycle be managed, or '
                'configure and activate it by hand'
            )

        guess = None if prior is None else self._prior_from(prior)
        request = self._request(prior=guess, observer=observer)
        if not self._queue.submit(request):
            raise CaldiffError(BUSY)

        return request

    def _request(self, requested_s: float | None = None, **details) -> Request:
        """A request of this moment, for the map and session of now."""
        return Request(
            loaded_map=present(self._live.loaded_map),
            session=present(self._session),
            requested_s=time.monotonic() if requested_s is None else requested_s,
            **details,
        )

    def _on_arrival(self) -> None:
        parameters = self._live.parameters
        now_s = time.monotonic()
        camera_known = self._latest.has_info or parameters.use_map_camera
        if not camera_known or not self._schedule.due(
            parameters,
            now_s=now_s,
            image_received_s=self._latest.image_received_s,
            start_pending=present(self._session).start_pending,
        ):
            return

        if self._queue.submit(self._request(float('-inf'), explicit=False)):
            self._schedule.last_attempt_s = now_s

    def _on_initialpose(self, message: PoseWithCovarianceStamped) -> None:
        try:
            present(self._session).prior = self._prior_from(message)
        except CaldiffError as error:
            self.get_logger().warning(f'initialpose: {error}')
            return

        if self._live.parameters.localize_on_initialpose:
            # if it is busy, the prior stays for the next localization
            self._queue.submit(self._request())

    def _prior_from(self, message: PoseWithCovarianceStamped) -> Prior:
        parameters = self._live.parameters
        T_base_cam = np.eye(4)
        if parameters.base_frame:
            camera = parameters.camera_frame or self._latest.image_frame
            T_base_cam = self._tf.look_up(parameters.base_frame, camera)

        return prior_from_msg(message, present(self._live.loaded_map).frame, T_base_cam)

    def _saved_prior(self, loaded_map: LoadedMap) -> Prior | None:
        if not loaded_map.parameters.saved_pose_path:
            return None

        path = Path(loaded_map.parameters.saved_pose_path).expanduser()
        try:
            prior = read_saved_pose(path, loaded_map.map)
        except CaldiffError as error:
            self.get_logger().warning(str(error))
            return None

        if prior is not None:
            self.get_logger().info(f'the pose saved in {path} is the prior of the start')

        return prior

    def _on_jump(self, jump: TimeJump) -> None:
        seconds = jump.delta.nanoseconds * 1e-9
        self.get_logger().warning(f'time jumped by {seconds:.1f} s, so images and TF are forgotten')

        self._close_session('time jumped back')
        self._prior = None
        self._latest.forget_image()
        self._tf.clear()
        self._schedule = Schedule()

        if self._session is not None:
            self._open_session()
            present(self._inputs).expect_again()

    def _on_change(self, changed: set[str]) -> None:
        """Follow the parameters that changed."""
        loaded_map = self._live.loaded_map
        if loaded_map is not None and 'map' in changed:
            self._change_map()

        if loaded_map is not None and changed & SHOWN:
            self._show_map()

        if self._session is not None:
            self._session.follow(self._live.parameters)
            self._tf.start(self._live.parameters, self._send_transform_again)

    def _change_map(self) -> None:
        self._close_session('the map was changed')
        self._prior = None
        if self._session is not None:
            self._open_session()

        self.get_logger().info(f'the map is {present(self._live.loaded_map).map.name} now')

    def _check(self) -> None:
        problem = ''
        if self._inputs is not None:
            problem = self._inputs.check(self._live.parameters)

        self._diagnostics.publish(
            diagnostics(
                Header(stamp=self.get_clock().now().to_msg()),
                node_name=self.get_fully_qualified_name(),
                state=self._state(),
                loaded_map=self._live.loaded_map,
                statistics=self._statistics,
                camera_problem=problem,
            )
        )

    def _show_map(self) -> None:
        """Let the worker make the picture of the map."""
        output = present(self._map_output)
        loaded_map = present(self._live.loaded_map)
        log = self.get_logger()

        def make(cancel: CancelToken) -> None:
            try:
                output.make(loaded_map, cancel)
            except Cancelled:
                return
            except Exception as error:  # only a picture
                log.warning(f'the map is not shown: {describe_exception(error)}')

        self._queue.run_in_background(make)
