# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which session is the one of now, and what one leaves to the next."""

from __future__ import annotations

from rclpy.time import Time

from caldiff_ros.localization.prior import Prior
from caldiff_ros.ros.localization_queue import LocalizationQueue, Request
from caldiff_ros.ros.outputs import Outputs
from caldiff_ros.ros.parameters import LocalizerParameters
from caldiff_ros.ros.session import Session
from caldiff_ros.ros.tf import TransformOutput


class Sessions:
    """Opens and closes the sessions of a node, in the executor's thread.

    Args:
        queue: runs localizations in them.
        tf: sends their transforms.

    Attributes:
        current: the session of now; None while the node is not active.
        next_prior: guess for the session that is opened next, or None.
    """

    def __init__(self, queue: LocalizationQueue, tf: TransformOutput) -> None:
        self._queue = queue
        self._tf = tf
        self.current: Session | None = None
        self.next_prior: Prior | None = None

    def open(self, outputs: Outputs, parameters: LocalizerParameters) -> None:
        """Begin a session; the one before must be closed."""
        self.current = Session(
            particles=outputs.particles,
            answers=outputs.answers,
            tf=self._tf,
            parameters=parameters,
            prior=self.next_prior,
        )
        self.next_prior = None

    def submit(self, request: Request) -> bool:
        """Run a request of the session of now; False if one runs that it does not pre-empt."""
        return self._queue.submit(request)

    def close(self, reason: str) -> None:
        """Let nothing of the session out any more, then end what runs in it; forget priors."""
        if self.current is not None:
            self.current.close(reason)

        self._queue.cancel_current(reason)
        self.next_prior = None

    def end(self, reason: str) -> None:
        """Be without a session; the prior of the last one still serves the next."""
        if self.current is not None:
            self.current.close(reason)
            self.next_prior = self.current.prior
            self.current = None

        self._queue.stop(reason)

    def send_transform_again(self, stamp: Time) -> None:
        """Send the transform that the session keeps, if any, with another stamp."""
        if self.current is not None:
            self.current.send_transform_again(stamp)
