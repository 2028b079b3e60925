# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The image of a request and the camera that took it, from what drivers publish."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from caldiff_ros.geometry import Camera
from caldiff_ros.ros.conversions.camera_info import camera_at, camera_from_info
from caldiff_ros.ros.conversions.images import assumed_encoding, image_to_rgb
from caldiff_ros.ros.latest_messages import LatestMessages
from caldiff_ros.ros.localization_queue import Request
from caldiff_ros.ros.problems import Complaints


class QueryImages:
    """Takes images and their cameras from the latest messages.

    What is doubtful about them but can be used is logged as a warning, once while it lasts.

    Args:
        latest: where images and camera_info arrive.
        complaints: log what is doubtful.
    """

    def __init__(self, latest: LatestMessages, complaints: Complaints) -> None:
        self._latest = latest
        self._complaints = complaints

    def wait(self, request: Request) -> Image | CompressedImage:
        """The image to localize.

        Raises:
            CaldiffError: if none arrives in time.
            Cancelled: if the request was cancelled.
        """
        timeout_s = request.loaded_map.parameters.image_timeout
        return self._latest.image_for(request.requested_s, timeout_s, request.cancel_token)

    def read(self, request: Request, image: Image | CompressedImage) -> tuple[np.ndarray, Camera]:
        """Colours (H, W, 3) uint8 and the camera that saw them.

        Raises:
            CaldiffError: if image or camera_info cannot be used, or do not fit each other.
            Cancelled: if the request was cancelled.
        """
        parameters = request.loaded_map.parameters
        rgb = image_to_rgb(image)
        self._complaints.warn('encoding', _encoding_note(image))
        height, width = rgb.shape[:2]

        if parameters.use_map_camera and not self._latest.has_info:
            camera = request.loaded_map.map.camera
            remedy = 'publish camera_info'
            return rgb, camera_at(camera, width, height, source='the map', remedy=remedy)

        info = self._latest.info_for(
            request.requested_s, parameters.image_timeout, request.cancel_token
        )
        camera = camera_from_info(info, rectified=parameters.rectified)
        remedy = 'publish the calibration of this image, or set binning and roi in camera_info'
        fitted = camera_at(camera, width, height, source='camera_info', remedy=remedy)

        self._complaints.warn('frame', _frame_note(image, info))
        self._complaints.warn('resolution', _resolution_note(camera, fitted))
        self._complaints.warn('field of view', request.loaded_map.map.view_note(fitted))
        return rgb, fitted


def _encoding_note(image: Image | CompressedImage) -> str:
    assumed = '' if isinstance(image, CompressedImage) else assumed_encoding(image.encoding)
    if not assumed:
        return ''

    return (
        f'the images have the encoding {image.encoding}, which does not define the '
        f'channels; assuming {assumed}, set it in the driver'
    )


def _frame_note(image: Image | CompressedImage, info: CameraInfo) -> str:
    of_image = image.header.frame_id.lstrip('/')
    of_info = info.header.frame_id.lstrip('/')
    if of_image == of_info or not of_image or not of_info:
        return ''

    return (
        f'camera_info has the frame {of_info!r} but the image {of_image!r}, expected those of one '
        'camera; check to which topic camera_info is remapped'
    )


def _resolution_note(camera: Camera, fitted: Camera) -> str:
    if fitted.width == camera.width and fitted.height == camera.height:
        return ''

    return (
        f'camera_info is for {camera.width}x{camera.height} pixels but the image has '
        f'{fitted.width}x{fitted.height}; the calibration is scaled to the image'
    )
