# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages to and from numpy: cv_bridge where ROS 2 has it, rosbags otherwise."""

from __future__ import annotations

import cv2
import numpy as np
from ament_index_python import PackageNotFoundError, get_package_prefix
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from caldiff_ros.errors import CaldiffError

_BAYER = ('bayer_rggb', 'bayer_bggr', 'bayer_gbrg', 'bayer_grbg')
#: Bytes per pixel of the encodings that say what their channels mean.
BYTES_PER_PIXEL = {
    'rgb8': 3,
    'bgr8': 3,
    'rgba8': 4,
    'bgra8': 4,
    'mono8': 1,
    'rgb16': 6,
    'bgr16': 6,
    'rgba16': 8,
    'bgra16': 8,
    'mono16': 2,
    'yuv422': 2,
    'yuv422_yuy2': 2,
    'uyvy': 2,
    'yuyv': 2,
    **{f'{name}8': 1 for name in _BAYER},
    **{f'{name}16': 2 for name in _BAYER},
}
#: Newer names of sensor_msgs, as cv_bridge knows them.
_NAMES_IN_CV_BRIDGE = {'uyvy': 'yuv422', 'yuyv': 'yuv422_yuy2'}
#: Last bytes that whole files have near their end, by the first bytes of the format.
_FILE_ENDS = {b'\xff\xd8': b'\xff\xd9', b'\x89PNG': b'IEND'}
#: Cameras append some padding to their JPEGs.
_PADDING = 1024


def image_to_rgb(message: Image | CompressedImage) -> np.ndarray:
    """Colours of an image message, uint8 (height, width, 3), red first.

    Raises:
        CaldiffError: if the message contradicts itself, was cut off, or its encoding is not one of
            colours.
    """
    if isinstance(message, CompressedImage):
        return _decompress(message)

    packed = _without_padding(message)
    try:
        rgb = _convert(packed)
    except Exception as error:  # cv_bridge and rosbags raise whatever OpenCV does
        raise CaldiffError(
            f'the {message.width}x{message.height} image with encoding {message.encoding!r} could '
            f'not be converted ({error}); publish rgb8 or bgr8'
        ) from error

    return np.ascontiguousarray(rgb)


def rgb_to_image(rgb: np.ndarray, header: Header) -> Image:
    """An rgb8 message of colours, uint8 (height, width, 3)."""
    height, width = rgb.shape[:2]
    message = Image(header=header, height=height, width=width, encoding='rgb8', step=3 * width)
    message.data = np.ascontiguousarray(rgb, dtype=np.uint8).tobytes()
    return message


def _decompress(message: CompressedImage) -> np.ndarray:
    """Colours of a JPEG or PNG; OpenCV would fill what was cut off with grey."""
    data = bytes(message.data)
    end = next((end for start, end in _FILE_ENDS.items() if data.startswith(start)), None)
    if end is None:
        raise CaldiffError(
            f'the compressed image with format {message.format!r} is {len(data)} bytes that begin '
            f'with {data[:4].hex() or "nothing"}, expected a JPEG or PNG; check the image transport'
        )

    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # camera_info knows no turned image
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if end in data[-_PADDING:] else None
    if bgr is None:
        raise CaldiffError(
            f'the compressed image with format {message.format!r} cannot be decoded from its '
            f'{len(data)} bytes, expected a whole JPEG or PNG; it was cut off or damaged, check '
            'the camera driver and the network'
        )

    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _without_padding(message: Image) -> Image:
    """The same image with rows that follow each other; rosbags does not look at the step."""
    if message.encoding not in BYTES_PER_PIXEL:
        raise CaldiffError(
            f'image encoding {message.encoding!r} is not a known colour or grey encoding, expected '
            f'one of {", ".join(BYTES_PER_PIXEL)}; convert the images'
        )

    if message.width == 0 or message.height == 0:
        raise CaldiffError(
            f'the image is {message.width}x{message.height} pixels, expected at least one; check '
            'the camera driver'
        )

    row = message.width * BYTES_PER_PIXEL[message.encoding]
    if message.step < row:
        raise CaldiffError(
            f'the image has a step of {message.step} bytes, expected at least {row} for '
            f'{message.width} pixels of {message.encoding}; check the camera driver'
        )

    expected = message.step * message.height
    if len(message.data) < expected:
        raise CaldiffError(
            f'the image has {len(message.data)} bytes, expected {expected} (step {message.step} x '
            f'height {message.height}); it was cut off, check the camera driver'
        )

    if message.step == row:
        return message

    rows = np.frombuffer(message.data, np.uint8)[:expected].reshape(message.height, message.step)
    return Image(
        header=message.header,
        height=message.height,
        width=message.width,
        encoding=message.encoding,
        is_bigendian=message.is_bigendian,
        step=row,
        data=rows[:, :row].tobytes(),
    )


def _convert_with_rosbags(message: Image) -> np.ndarray:
    from rosbags.image import image_to_cvimage

    return image_to_cvimage(message, 'rgb8')


def _convert_with_cv_bridge(message: Image) -> np.ndarray:
    from cv_bridge import CvBridge

    known = Image(
        header=message.header,
        height=message.height,
        width=message.width,
        encoding=_NAMES_IN_CV_BRIDGE.get(message.encoding, message.encoding),
        is_bigendian=message.is_bigendian,
        step=message.step,
        data=message.data,
    )

    return CvBridge().imgmsg_to_cv2(known, 'rgb8')


def _choose_converter():
    """cv_bridge of a ROS 2 distribution if it works; PyPI's is of ROS 1 and does not."""
    try:
        get_package_prefix('cv_bridge')
        import cv_bridge  # noqa: F401 - fails where numpy is another than it was compiled against
    except (PackageNotFoundError, ImportError, AttributeError):
        return _convert_with_rosbags

    return _convert_with_cv_bridge


_convert = _choose_converter()
