# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The run-time state of one activation with one map; nothing is published once it is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from geometry_msgs.msg import TransformStamped
from rclpy.time import Time

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import Cancelled
from caldiff_ros.localization.prior import Prior
from caldiff_ros.ros.outputs import AnswerOutput, ParticleOutput
from caldiff_ros.ros.parameters import LocalizerParameters
from caldiff_ros.ros.tf import TransformOutput


class Session:
    """What the executor and the worker share, behind one lock.

    A session ends with a deactivation, another map, or a jump back of the clock. A localization
    keeps the session that it began in, so that whatever it still wants to say after that end is
    dropped, and what is set for the next session is out of its reach.

    Args:
        particles: publishes the particles.
        answers: publishes answers and overlays.
        tf: sends transforms.
        parameters: name the frames of the transform.
        prior: guess for the next localization that has none of its own, or None.
    """

    def __init__(
        self,
        *,
        particles: ParticleOutput,
        answers: AnswerOutput,
        tf: TransformOutput,
        parameters: LocalizerParameters,
        prior: Prior | None = None,
    ) -> None:
        self.particles = particles
        self.answers = answers
        self._tf = tf

        self._lock = threading.RLock()
        self._closed_because = ''
        self._prior = prior
        self._start_pending = True
        self._frames = _frames(parameters)
        self._held: TransformStamped | None = None

    def close(self, reason: str) -> None:
        """Let nothing out any more, because of ``reason``; returns when nothing is on its way."""
        with self._lock:
            self._closed_because = self._closed_because or reason
            self._held = None

    @property
    def closed_because(self) -> str:
        """Why it was closed; empty while it is open."""
        with self._lock:
            return self._closed_because

    @property
    def prior(self) -> Prior | None:
        """Guess for the next localization that has none of its own."""
        with self._lock:
            return self._prior

    @prior.setter
    def prior(self, prior: Prior) -> None:
        with self._lock:
            self._prior = prior

    @property
    def start_pending(self) -> bool:
        """Whether no image was localized since the session began."""
        with self._lock:
            return self._start_pending

    def end_search(self, prior: Prior | None) -> None:
        """Note that an image was searched for, with ``prior``; a newer prior stays."""
        with self._lock:
            if self._closed_because:
                return

            self._start_pending = False
            if self._prior is prior:
                self._prior = None

    def publish(self, send: Callable[[], None]) -> None:
        """Call ``send`` while the session cannot be closed.

        Raises:
            Cancelled: if it is closed already; ``send`` is not called.
            Exception: whatever ``send`` raises.
        """
        with self._lock:
            if self._closed_because:
                raise Cancelled

            send()

    def follow(self, parameters: LocalizerParameters) -> None:
        """Use other parameters; a transform between other frames is not sent again."""
        with self._lock:
            if self._frames != _frames(parameters):
                self._held = None

            self._frames = _frames(parameters)

    def send_transform(self, transform: TransformStamped, parameters: LocalizerParameters) -> None:
        """Send the transform of a localization, and keep it if it is to be sent again.

        Args:
            transform: to send.
            parameters: those that the localization began with.

        Raises:
            Cancelled: if the session is closed.
            CaldiffError: if the frames are others by now.
        """

        def send() -> None:
            if self._frames != _frames(parameters):
                raise CaldiffError(
                    'no TF is published: its frames were changed during the '
                    'localization; localize again'
                )

            if parameters.tf_mode == 'map_to_odom':
                self._held = transform

            self._tf.send(transform)

        self.publish(send)

    def send_transform_again(self, stamp: Time) -> None:
        """Send the transform that is kept, if there is one, with another stamp."""
        with self._lock:
            if self._held is None:
                return

            again = TransformStamped(
                child_frame_id=self._held.child_frame_id, transform=self._held.transform
            )
            again.header.frame_id = self._held.header.frame_id
            again.header.stamp = stamp.to_msg()
            self._tf.send(again)


def _frames(parameters: LocalizerParameters) -> tuple[str, ...]:
    """The key that identifies a transform."""
    return (parameters.tf_mode, parameters.map_frame, parameters.odom_frame)
