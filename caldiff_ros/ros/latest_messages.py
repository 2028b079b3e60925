# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The last image and camera_info that arrived, and the wait for a newer one."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import CancelToken

Message = TypeVar('Message')


@dataclass(frozen=True)
class Unread(Generic[Message]):
    """A message as it came over the network: most are replaced by the next without being read.

    Attributes:
        data: the serialized message.
        kind: its type.
    """

    data: bytes
    kind: type[Message]

    @cached_property
    def message(self) -> Message:
        """The message itself."""
        return deserialize_message(self.data, self.kind)


class LatestMessages:
    """Filled by the executor's thread, read by the worker.

    Newer means received later: stamps of a bag or of another computer's clock are not comparable.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._images_received = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._changed:
            self._info: Unread[CameraInfo] | None = None
            self.forget_image()

    def forget_image(self) -> None:
        """Forget the image, as when time went backwards; a calibration holds at any time."""
        with self._changed:
            self._image: Unread[Image] | Unread[CompressedImage] | None = None
            self._image_received_s = float('-inf')

    def put_image(self, image: Unread[Image] | Unread[CompressedImage]) -> None:
        """Keep an image."""
        with self._changed:
            self._image = image
            self._image_received_s = time.monotonic()
            self._images_received += 1
            self._changed.notify_all()

    def put_info(self, info: Unread[CameraInfo]) -> None:
        """Keep a camera_info."""
        with self._changed:
            self._info = info
            self._changed.notify_all()

    def wake(self) -> None:
        """Let those who wait look at their cancel token."""
        with self._changed:
            self._changed.notify_all()

    @property
    def has_info(self) -> bool:
        """Whether a camera_info arrived."""
        return self._info is not None

    @property
    def image_received_s(self) -> float:
        """When the last image arrived, of `time.monotonic`; minus infinity without one."""
        return self._image_received_s

    @property
    def images_received(self) -> int:
        """How many images arrived since the node was made."""
        return self._images_received

    @property
    def image_frame(self) -> str:
        """Frame of the last image; empty without one."""
        image = self._image
        return '' if image is None else image.message.header.frame_id

    def image_for(
        self, requested_s: float, timeout_s: float, cancel: CancelToken
    ) -> Image | CompressedImage:
        """An image received after ``requested_s``, or else the last one if it is recent.

        Args:
            requested_s: time of the request, of `time.monotonic`.
            timeout_s: how long after the request to wait for a newer image, and how long before
                it an image may have come to be used in its place.
            cancel: ends the wait, together with `wake`.

        Raises:
            CaldiffError: if there is neither.
            Cancelled: if ``cancel`` was used.
        """
        with self._changed:
            self._wait_until(
                lambda: self._image_received_s > requested_s, requested_s + timeout_s, cancel
            )
            if self._image is None:
                raise CaldiffError(
                    f'no image arrived within {timeout_s:g} s, expected images on the image topic; '
                    'check its name and that the camera is running'
                )

            if self._image_received_s >= requested_s - timeout_s:
                return self._image.message

            age_s = time.monotonic() - self._image_received_s
            raise CaldiffError(
                f'the last image arrived {age_s:.0f} s ago, expected one within {timeout_s:g} s; '
                'check that the camera is still running'
            )

    def info_for(self, requested_s: float, timeout_s: float, cancel: CancelToken) -> CameraInfo:
        """The last camera_info; waits for the first one.

        Raises:
            CaldiffError: if none arrives within ``timeout_s`` seconds after ``requested_s``.
            Cancelled: if ``cancel`` was used.
        """
        with self._changed:
            self._wait_until(lambda: self._info is not None, requested_s + timeout_s, cancel)
            if self._info is None:
                raise CaldiffError(
                    f'no camera_info arrived within {timeout_s:g} s, expected the calibration of '
                    'the camera; publish it, or set use_map_camera to use that of the map'
                )

            return self._info.message

    def _wait_until(self, ready, deadline_s: float, cancel: CancelToken) -> None:
        while not ready():
            cancel.raise_if_cancelled()
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                return

            self._changed.wait(remaining_s)
