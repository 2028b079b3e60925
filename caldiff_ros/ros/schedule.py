# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When to localize although nobody asked: the first image, and continuous mode."""

from __future__ import annotations

from dataclasses import dataclass

from caldiff_ros.ros.parameters import LocalizerParameters

#: Pause before the start is tried again after an image that could not be used.
RETRY_S = 1.0


@dataclass
class Schedule:
    """Remembers the last attempt; times are those of `time.monotonic`."""

    last_attempt_s: float = float('-inf')

    def due(
        self,
        parameters: LocalizerParameters,
        now_s: float,
        image_received_s: float,
        start_pending: bool,
    ) -> bool:
        """Whether the last image is to be localized now.

        Args:
            parameters: of the node.
            now_s: the time.
            image_received_s: when the last image came.
            start_pending: whether no image was localized yet.
        """
        if image_received_s <= self.last_attempt_s:  # it was tried already
            return False

        since_s = now_s - self.last_attempt_s
        first = parameters.localize_on_start and start_pending
        if parameters.continuous and since_s >= 1 / parameters.continuous_rate:
            return True

        return first and since_s >= RETRY_S
