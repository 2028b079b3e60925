# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The services and the action: always there, answered with the outcome or with a reason."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import rclpy.task
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from caldiff_ros.action import Localize
from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import Answer, Observer, Particles, Status
from caldiff_ros.ros.conversions.answers import localization_msg
from caldiff_ros.ros.lifecycle import present
from caldiff_ros.ros.localization_queue import LocalizationQueue, Outcome, Request

#: Takes the message of a prior and an observer, or None for either; raises CaldiffError with the
#: reason if no localization can be run now.
Accept = Callable[[PoseWithCovarianceStamped | None, Observer | None], Request]


class RequestServers:
    """Services ``relocalize`` and ``reinitialize_global_localization``, action ``localize``.

    Args:
        node: offers them.
        group: of the callbacks; reentrant, as they wait as coroutines in the executor's thread.
        accept: makes the queue run a localization.
        queue: cancels it.
    """

    def __init__(
        self, node: Node, group: CallbackGroup, accept: Accept, queue: LocalizationQueue
    ) -> None:
        self._node = node
        self._accept = accept
        self._queue = queue
        self._running: dict[bytes, Request] = {}

        for name in ('relocalize', 'reinitialize_global_localization'):
            node.create_service(Trigger, name, self._on_trigger, callback_group=group)

        self._server = ActionServer(
            node,
            Localize,
            'localize',
            execute_callback=self._execute,
            callback_group=group,
            cancel_callback=self._on_cancel,
        )

    async def _on_trigger(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            outcome = await self._end_of(self._accept(None, None))
        except CaldiffError as error:
            response.message = str(error)
            return response

        response.success = outcome.answer.status is Status.LOCALIZED
        response.message = outcome.answer.message
        if outcome.transform_problem:
            response.message += f'; {outcome.transform_problem}'

        return response

    async def _execute(self, goal: ServerGoalHandle) -> Localize.Result:
        """Run a goal; one that cannot run is aborted here, as a rejection carries no reason."""
        name = bytes(goal.goal_id.uuid)
        prior = goal.request.prior[0] if goal.request.prior else None
        try:
            request = self._accept(prior, functools.partial(_tell, goal))
        except CaldiffError as error:
            goal.abort()
            header = Header(stamp=self._node.get_clock().now().to_msg())
            return _result(Answer(Status.FAILED, str(error)), header)

        self._running[name] = request
        if goal.is_cancel_requested:  # before it was even begun
            self._on_cancel(goal)

        outcome = await self._end_of(request)
        del self._running[name]

        if goal.is_cancel_requested and outcome.answer.status is Status.FAILED:
            goal.canceled()
        elif outcome.answer.status is Status.LOCALIZED:
            goal.succeed()
        else:
            goal.abort()

        return _result(outcome.answer, outcome.header)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        request = self._running.get(bytes(goal.goal_id.uuid))
        if request is not None:
            self._queue.cancel(request, 'the goal was cancelled')

        return CancelResponse.ACCEPT

    async def _end_of(self, request: Request) -> Outcome:
        """The outcome, waited for by a coroutine in the executor's thread."""
        executor = present(self._node.executor)
        ended: rclpy.task.Future = rclpy.task.Future(executor=executor)

        def end(outcome: Future[Outcome]) -> None:
            ended.set_result(outcome.result())
            executor.wake()  # it looks at waiting coroutines when something happens

        request.outcome.add_done_callback(end)
        return present(await ended)


def _tell(goal: ServerGoalHandle, particles: Particles) -> None:
    """Publish feedback, a new message for every step: nothing of an older goal is in it."""
    errors = particles.photometric_error
    best = float('nan') if errors is None else float(np.min(errors, initial=np.inf))

    feedback = Localize.Feedback(
        stage=particles.stage,
        particles=len(particles.T_map_cam),
        progress=float(particles.progress),
        best_error=best,
    )
    # rclpy's annotation names the wrapper that it puts around the feedback itself
    goal.publish_feedback(feedback)  # type: ignore[arg-type]


def _result(answer: Answer, header: Header) -> Localize.Result:
    return Localize.Result(localization=localization_msg(answer, header))
