# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera messages to and from `caldiff_ros.geometry.Camera`."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.distortion import named_distortion

#: sensor_msgs/CameraInfo counts image coordinates from the centre of the first pixel, we count
#: from its corner.
_HALF_PIXEL = 0.5


def camera_from_info(info: CameraInfo, *, rectified: bool = False) -> Camera:
    """The camera of the images that come with a camera_info.

    Args:
        info: calibration at full resolution; its binning and region of interest are honoured.
        rectified: whether the images are rectified already: P describes them, not K and D.

    Raises:
        CaldiffError: if the camera is uncalibrated or the message contradicts itself.
    """
    if rectified:
        name = 'P'
        fx, fy, cx, cy = (float(info.p[i]) for i in (0, 5, 2, 6))
    else:
        name = 'K'
        fx, fy, cx, cy = (float(info.k[i]) for i in (0, 4, 2, 5))

    if fx == 0:
        raise CaldiffError(
            f'camera_info has {name}[0] = 0, which stands for an uncalibrated camera, expected the '
            'focal length; calibrate the camera or publish its calibration'
        )

    x0, y0, width, height = _region(info)
    model, coefficients = (
        ('none', ()) if rectified else named_distortion(info.distortion_model, info.d)
    )
    bin_x = max(1, info.binning_x)
    bin_y = max(1, info.binning_y)

    return Camera(
        width=width // bin_x,
        height=height // bin_y,
        fx=fx / bin_x,
        fy=fy / bin_y,
        cx=(cx + _HALF_PIXEL - x0) / bin_x,
        cy=(cy + _HALF_PIXEL - y0) / bin_y,
        distortion_model=model,
        distortion=coefficients,
    )


def camera_at(camera: Camera, width: int, height: int, *, source: str, remedy: str) -> Camera:
    """A camera at the resolution of an image.

    Args:
        camera: at any resolution.
        width: of the image, in pixels.
        height: of the image, in pixels.
        source: where the camera is from, for the message.
        remedy: what to do if it does not fit, for the message.

    Raises:
        CaldiffError: if the image has another aspect ratio.
    """
    if abs(width * camera.height - height * camera.width) > max(camera.width, camera.height):
        raise CaldiffError(
            f'the image is {width}x{height} pixels but the camera of {source} is '
            f'{camera.width}x{camera.height}, expected the same aspect ratio; {remedy}'
        )

    return camera.resized(width, height)


def info_from_camera(camera: Camera, header: Header) -> CameraInfo:
    """The camera_info of a camera; P is K, as for a rectified monocular camera."""
    cx = camera.cx - _HALF_PIXEL
    cy = camera.cy - _HALF_PIXEL
    model = 'plumb_bob' if camera.distortion_model == 'none' else camera.distortion_model

    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=model,
        d=[float(value) for value in camera.distortion or (0.0,) * 5],
        k=[camera.fx, 0.0, cx, 0.0, camera.fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[camera.fx, 0.0, cx, 0.0, 0.0, camera.fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def _region(info: CameraInfo) -> tuple[int, int, int, int]:
    """x, y, width and height of the image in pixels of the full resolution."""
    roi = info.roi
    if roi.width == 0 and roi.height == 0:  # stands for the whole image
        return 0, 0, info.width, info.height

    if roi.x_offset + roi.width > info.width or roi.y_offset + roi.height > info.height:
        raise CaldiffError(
            f'the region of interest of camera_info ({roi.width}x{roi.height} at {roi.x_offset}, '
            f'{roi.y_offset}) leaves its {info.width}x{info.height} image, expected it inside; '
            'check the camera driver'
        )

    return roi.x_offset, roi.y_offset, roi.width, roi.height
