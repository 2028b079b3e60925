# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What makes an active node localize: a request, an image that is due, a prior."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import Observer
from caldiff_ros.localization.prior import Prior
from caldiff_ros.ros.latest_messages import LatestMessages
from caldiff_ros.ros.lifecycle import present
from caldiff_ros.ros.live_parameters import LiveParameters
from caldiff_ros.ros.localization_queue import BUSY, Request
from caldiff_ros.ros.priors import prior_from_msg
from caldiff_ros.ros.schedule import Schedule
from caldiff_ros.ros.sessions import Sessions
from caldiff_ros.ros.tf import TransformOutput


class Triggers:
    """Hands requests on, in the executor's thread, while there is a session.

    Args:
        node: logs.
        live: parameters and map of now.
        latest: where images and camera_info arrive.
        sessions: with the session of now, and the queue that runs what belongs to it.
        tf: knows where the camera is mounted.
        state: label of the lifecycle, for those who ask while there is no session.
    """

    def __init__(
        self,
        node: Node,
        *,
        live: LiveParameters,
        latest: LatestMessages,
        sessions: Sessions,
        tf: TransformOutput,
        state: Callable[[], str],
    ) -> None:
        self._log = node.get_logger()
        self._live = live
        self._latest = latest
        self._sessions = sessions
        self._tf = tf
        self._state = state
        self._schedule = Schedule()

    def begin_again(self) -> None:
        """Forget when the last image was tried, as after an activation."""
        self._schedule = Schedule()

    def accept(self, prior: PoseWithCovarianceStamped | None, observer: Observer | None) -> Request:
        """Run what a service or the action asks for.

        Args:
            prior: guess of the pose, or None.
            observer: sees the particles, in the worker's thread, or None.

        Raises:
            CaldiffError: if the node is not active, a request runs already, or the prior cannot be
                used.
        """
        if self._sessions.current is None:
            raise CaldiffError(
                f'the node is {self._state()}, expected active; start it with autostart or a '
                'lifecycle manager, or configure and activate it'
            )

        guess = None if prior is None else self._prior_from(prior)
        request = self._request(prior=guess, observer=observer)
        if not self._sessions.submit(request):
            raise CaldiffError(BUSY)

        return request

    def on_arrival(self) -> None:
        """Localize the last image if it is due and its camera is known."""
        parameters = self._live.parameters
        now_s = time.monotonic()
        camera_known = self._latest.has_info or parameters.use_map_camera
        if not camera_known or not self._schedule.due(
            parameters,
            now_s=now_s,
            image_received_s=self._latest.image_received_s,
            start_pending=present(self._sessions.current).start_pending,
        ):
            return

        if self._sessions.submit(self._request(float('-inf'), explicit=False)):
            self._schedule.last_attempt_s = now_s

    def on_initialpose(self, message: PoseWithCovarianceStamped) -> None:
        """Keep a prior, and localize with it if the parameter says so."""
        try:
            present(self._sessions.current).prior = self._prior_from(message)
        except CaldiffError as error:
            self._log.warning(f'initialpose: {error}')
            return

        if self._live.parameters.localize_on_initialpose:
            # if it is busy, the prior stays for the next localization
            self._sessions.submit(self._request())

    def _request(self, requested_s: float | None = None, **details) -> Request:
        """A request of this moment, for the map and session of now."""
        return Request(
            loaded_map=present(self._live.loaded_map),
            session=present(self._sessions.current),
            requested_s=time.monotonic() if requested_s is None else requested_s,
            **details,
        )

    def _prior_from(self, message: PoseWithCovarianceStamped) -> Prior:
        parameters = self._live.parameters
        T_base_cam = np.eye(4)
        if parameters.base_frame:
            camera = parameters.camera_frame or self._latest.image_frame
            T_base_cam = self._tf.look_up(parameters.base_frame, camera)

        return prior_from_msg(message, present(self._live.loaded_map).frame, T_base_cam)
