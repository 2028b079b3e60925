# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages to and from numpy: cv_bridge where ROS 2 has it, rosbags otherwise."""

from __future__ import annotations

import struct

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
#: Encodings without a meaning of the channels, and the one that is assumed: OpenCV's order.
_ASSUMED = {'8UC1': 'mono8', '8UC3': 'bgr8', '8UC4': 'bgra8'}
#: A plane of brightness over one of colour at half the resolution, which cv_bridge does not know.
_PLANAR = {'nv12': cv2.COLOR_YUV2RGB_NV12, 'nv21': cv2.COLOR_YUV2RGB_NV21}
#: Newer names of sensor_msgs, as cv_bridge knows them.
_NAMES_IN_CV_BRIDGE = {'uyvy': 'yuv422', 'yuyv': 'yuv422_yuy2'}
#: Last bytes that whole files have near their end, by the first bytes of the format.
_FILE_ENDS = {b'\xff\xd8': b'\xff\xd9', b'\x89PNG': b'IEND'}
#: Bytes of WebP's head: 'RIFF', the number of bytes that follow, 'WEBP'.
_WEBP_HEAD = struct.Struct('<4sI4s')
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

    encoding = assumed_encoding(message.encoding) or message.encoding
    packed = _without_padding(message, encoding)
    try:
        rgb = _convert_planar(packed) if encoding in _PLANAR else _convert(packed)
    except Exception as error:  # cv_bridge and rosbags raise whatever OpenCV does
        raise CaldiffError(
            f'the {message.width}x{message.height} image with encoding {message.encoding!r} could '
            f'not be converted ({error}); publish rgb8 or bgr8'
        ) from error

    return np.ascontiguousarray(rgb)


def assumed_encoding(encoding: str) -> str:
    """What an encoding that does not say what its channels mean is taken for; empty if it does."""
    return _ASSUMED.get(encoding, '')


def rgb_to_image(rgb: np.ndarray, header: Header) -> Image:
    """An rgb8 message of colours, uint8 (height, width, 3)."""
    height, width = rgb.shape[:2]
    message = Image(header=header, height=height, width=width, encoding='rgb8', step=3 * width)
    message.data = np.ascontiguousarray(rgb, dtype=np.uint8).tobytes()
    return message


def _decompress(message: CompressedImage) -> np.ndarray:
    """Colours of a JPEG, PNG or WebP; OpenCV would fill what was cut off with grey."""
    data = bytes(message.data)
    whole = _is_whole(data)
    if whole is None:
        raise CaldiffError(
            f'the compressed image with format {message.format!r} is {len(data)} bytes that begin '
            f'with {data[:4].hex() or "nothing"}, expected a JPEG, PNG or WebP; check the image '
            'transport'
        )

    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # camera_info knows no turned image
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if whole else None
    if bgr is None:
        raise CaldiffError(
            f'the compressed image with format {message.format!r} cannot be decoded from its '
            f'{len(data)} bytes, expected a whole JPEG, PNG or WebP; it was cut off or damaged, '
            'check the camera driver and the network'
        )

    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _is_whole(data: bytes) -> bool | None:
    """Whether a file has its end; None if it is of none of the known formats."""
    if len(data) >= _WEBP_HEAD.size:
        riff, n_following, kind = _WEBP_HEAD.unpack_from(data)
        if (riff, kind) == (b'RIFF', b'WEBP'):
            return len(data) >= 8 + n_following

    end = next((end for start, end in _FILE_ENDS.items() if data.startswith(start)), None)
    return None if end is None else end in data[-_PADDING:]


def _without_padding(message: Image, encoding: str) -> Image:
    """The image in ``encoding`` with rows that follow each other, as rosbags ignores the step."""
    if encoding not in BYTES_PER_PIXEL and encoding not in _PLANAR:
        known = ', '.join([*BYTES_PER_PIXEL, *_PLANAR, *_ASSUMED])
        raise CaldiffError(
            f'image encoding {encoding!r} is not a known colour or grey encoding, expected one of '
            f'{known}; convert the images'
        )

    if message.width == 0 or message.height == 0:
        raise CaldiffError(
            f'the image is {message.width}x{message.height} pixels, expected at least one; check '
            'the camera driver'
        )

    row = message.width * BYTES_PER_PIXEL.get(encoding, 1)
    if message.step < row:
        raise CaldiffError(
            f'the image has a step of {message.step} bytes, expected at least {row} for '
            f'{message.width} pixels of {message.encoding}; check the camera driver'
        )

    n_rows = _n_rows(message, encoding)
    expected = message.step * n_rows
    if len(message.data) < expected:
        raise CaldiffError(
            f'the image has {len(message.data)} bytes, expected {expected} (step {message.step} x '
            f'{n_rows} rows); it was cut off, check the camera driver'
        )

    if message.step == row and message.encoding == encoding:
        return message

    rows = np.frombuffer(message.data, np.uint8)[:expected].reshape(n_rows, message.step)
    return Image(
        header=message.header,
        height=message.height,
        width=message.width,
        encoding=encoding,
        is_bigendian=message.is_bigendian,
        step=row,
        data=rows[:, :row].tobytes(),
    )


def _n_rows(message: Image, encoding: str) -> int:
    """Rows of the data: those of the image, and of the plane of colours where that is separate."""
    if encoding not in _PLANAR:
        return message.height

    if message.width % 2 or message.height % 2:
        raise CaldiffError(
            f'the image is {message.width}x{message.height} pixels of {encoding}, expected even '
            'numbers, as two by two pixels share a colour; check the camera driver'
        )

    return message.height * 3 // 2


def _convert_planar(message: Image) -> np.ndarray:
    n_rows = _n_rows(message, message.encoding)
    planes = np.frombuffer(message.data, np.uint8)[: n_rows * message.width]
    return cv2.cvtColor(planes.reshape(n_rows, message.width), _PLANAR[message.encoding])


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
