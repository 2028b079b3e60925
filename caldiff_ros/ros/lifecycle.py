# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Transitions of a lifecycle node that say what went wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import TransitionCallbackReturn

from caldiff_ros.errors import CaldiffError
from caldiff_ros.ros.problems import describe_exception

if TYPE_CHECKING:
    from rclpy.lifecycle import (  # the state has another name in Humble
        LifecycleNode,
        LifecycleState,
    )

NodeT = TypeVar('NodeT', bound='LifecycleNode')
ValueT = TypeVar('ValueT')


def present(value: ValueT | None) -> ValueT:
    """A value that every node has in the state in which this is called.

    Raises:
        RuntimeError: if it is None after all.
    """
    if value is None:
        raise RuntimeError('the node is not in the right state of its lifecycle')
    return value


def transition(
    change: Callable[[NodeT, LifecycleState], None],
) -> Callable[[NodeT, LifecycleState], TransitionCallbackReturn]:
    """A transition that answers for what its body raises, and logs it; rclpy would hide it.

    `CaldiffError` is a failure: the node stays in the state where it was. Anything else is an
    error: rclpy calls ``on_error``.
    """

    @functools.wraps(change)
    def answered(node: NodeT, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            change(node, state)
        except CaldiffError as error:
            node.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            node.get_logger().error(f'{change.__name__} failed: {describe_exception(error)}')
            return TransitionCallbackReturn.ERROR

        return TransitionCallbackReturn.SUCCESS

    return answered


def refuse_impossible_transitions(node: LifecycleNode) -> None:
    """Answer requests for a transition that the node's state does not have.

    Before Kilted, rclpy raises out of its service then: the caller waits for ever, and the node
    ends.
    """
    [service] = [each for each in node.services if each.srv_type is ChangeState]
    change = service.callback

    def answered(
        request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        try:
            return change(request, response)
        except RuntimeError as error:  # what our transitions raise, they answer themselves
            node.get_logger().error(f'no such transition: {describe_exception(error)}')
            response.success = False
            return response

    service.callback = answered
