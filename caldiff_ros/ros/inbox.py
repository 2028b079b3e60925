# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The last image and camera_info that arrived, and the wait for a newer one."""

from __future__ import annotations

import threading
import time

from sensor_msgs.msg import CameraInfo, Image

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import Cancelled


class Inbox:
    """Filled by the executor's thread, read by the worker.

    Newer means received later: stamps of a bag or of another computer's clock do not tell.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._image: Image | None = None
        self._image_received_s = float('-inf')
        self._info: CameraInfo | None = None
        self._closed = False

    def put_image(self, message: Image) -> None:
        """Keep an image."""
        with self._changed:
            self._image, self._image_received_s = message, time.monotonic()
            self._changed.notify_all()

    def put_info(self, message: CameraInfo) -> None:
        """Keep a camera_info."""
        with self._changed:
            self._info = message
            self._changed.notify_all()

    def close(self) -> None:
        """End every wait with `Cancelled`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def has_info(self) -> bool:
        """Whether a camera_info arrived."""
        return self._info is not None

    def image_for(self, requested_s: float, timeout_s: float) -> Image:
        """An image received after ``requested_s``, or else the last one if it is recent.

        Args:
            requested_s: time of the request, of `time.monotonic`.
            timeout_s: how long after the request to wait for a newer image, and how long before
                it an image may have come to be used in its place.

        Raises:
            CaldiffError: if there is neither.
        """
        with self._changed:
            self._wait_until(lambda: self._image_received_s > requested_s, requested_s + timeout_s)
            if self._image_received_s >= requested_s - timeout_s:
                return self._image
            if self._image is None:
                raise CaldiffError(
                    f'no image arrived within {timeout_s:g} s, expected images on the image topic; '
                    'check its name and that the camera runs'
                )
            age_s = time.monotonic() - self._image_received_s
            raise CaldiffError(
                f'the last image arrived {age_s:.0f} s ago, expected one within {timeout_s:g} s; '
                'check that the camera still runs'
            )

    def info_for(self, requested_s: float, timeout_s: float) -> CameraInfo:
        """The last camera_info; waits for the first one.

        Raises:
            CaldiffError: if none arrives within ``timeout_s`` seconds after ``requested_s``.
        """
        with self._changed:
            self._wait_until(lambda: self._info is not None, requested_s + timeout_s)
            if self._info is None:
                raise CaldiffError(
                    f'no camera_info arrived within {timeout_s:g} s, expected the calibration of '
                    'the camera; publish it, or set use_map_camera to take that of the map'
                )
            return self._info

    def _wait_until(self, ready, deadline_s: float) -> None:
        while not ready():
            if self._closed:
                raise Cancelled
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                return
            self._changed.wait(remaining_s)
