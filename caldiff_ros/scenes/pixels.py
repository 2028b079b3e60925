# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image files of every kind as 8-bit RGB, turned upright or as they are stored."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from caldiff_ros.errors import CaldiffError

#: The EXIF tag that says how an image is to be turned, and what it says of one that is not.
_EXIF_ORIENTATION, _AS_STORED = 0x0112, 1
#: Orientations from this one on exchange width and height.
_FIRST_ON_ITS_SIDE = 5
#: What a JPEG file begins with, and how OpenCV decodes a half, a quarter or an eighth of its size.
_JPEG = b'\xff\xd8'
_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def image_size(path: Path, upright: bool = False) -> tuple[int, int]:
    """Width and height of an image file; only its header is read.

    Args:
        path: the file.
        upright: whether the size is that of the image turned as its EXIF orientation says.

    Raises:
        CaldiffError: if it is no image.
    """
    with _opened(path) as image:
        width, height = image.size

    on_its_side = upright and exif_orientation(path) >= _FIRST_ON_ITS_SIDE
    return (height, width) if on_its_side else (width, height)


def exif_orientation(path: Path) -> int:
    """The EXIF orientation of an image file, 1 to 8; 1 is 'as it is stored'."""
    with _opened(path) as image:
        return orientation_of(image)


def orientation_of(image: Image.Image) -> int:
    """The same of an opened image."""
    if image.format == 'PNG' and 'exif' not in image.info:
        return _AS_STORED  # Pillow would decode the whole image to look behind it
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, _AS_STORED)
    except (OSError, ValueError, SyntaxError):  # a damaged EXIF block, not a damaged image
        return _AS_STORED

    return orientation if orientation in range(1, 9) else _AS_STORED


def has_alpha(path: Path) -> bool:
    """Whether an image file can have transparent pixels; only its header is read."""
    with _opened(path) as image:
        return 'A' in image.getbands() or 'transparency' in image.info


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> CaldiffError:
    return CaldiffError(
        f'{path} is not a readable image, expected a PNG or JPEG file; check the path and the file'
    )


def read_image(
    path: Path, background: str = 'white', upright: bool = False, reduction: int = 1
) -> np.ndarray:
    """An image file as uint8 RGB (H, W, 3), transparent pixels on the background.

    Args:
        path: the file.
        background: 'white'; 'black' and 'none' are black.
        upright: turn it as its EXIF orientation says.
        reduction: 1, 2, 4 or 8: a JPEG is decoded at 1 / reduction of its size.

    Raises:
        CaldiffError: if it is no image.
    """
    return on_background(read_pixels(path, upright, reduction), background)


def on_background(pixels: np.ndarray, background: str) -> np.ndarray:
    """Pixels (H, W, 3 or 4) of `read_pixels` as uint8 RGB (H, W, 3); see `read_image`."""
    rgb = pixels[..., :3]
    if pixels.shape[2] == 3:
        return rgb

    alpha = pixels[..., 3:].astype(np.float32) / 255
    color = 255.0 if background == 'white' else 0.0
    return np.rint(rgb * alpha + color * (1 - alpha)).astype(np.uint8)


def read_pixels(path: Path, upright: bool = False, reduction: int = 1) -> np.ndarray:
    """An image file as uint8 RGB (H, W, 3) or RGBA (H, W, 4), whatever it holds.

    Args:
        path: the file; grey, palette and 16-bit images are converted.
        upright: turn the image as its EXIF orientation says. The intrinsics of some tools belong
            to the image as it is stored, those of others to the upright one.
        reduction: see `decode`.

    Raises:
        CaldiffError: if it is no image.
    """
    pixels = decode(path, reduction)
    if pixels is None:
        raise _unreadable(path)
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / 257).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise _unreadable(path)

    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    else:
        in_rgb = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        pixels = cv2.cvtColor(pixels, in_rgb)

    return turned_upright(pixels, exif_orientation(path)) if upright else pixels


def turned_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels (H, W, C) as they are to be shown by their EXIF orientation, 1 to 8."""
    if orientation >= _FIRST_ON_ITS_SIDE:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]

    return np.ascontiguousarray(pixels)


def possible_reduction(path: Path, wanted: float) -> int:
    """The largest reduction, up to ``wanted``, at which a file decodes to exact fractions.

    1 for what is not a JPEG file, as only these are decoded reduced.
    """
    with _opened(path) as image:
        if image.format != 'JPEG':
            return 1
        width, height = image.size

    fitting = (r for r in _REDUCED if r <= wanted and width % r == 0 and height % r == 0)
    return max(fitting, default=1)


def decode(path: Path, reduction: int = 1) -> np.ndarray | None:
    """Pixels as OpenCV orders them and as they are stored; None if the file is no image.

    Args:
        path: the file.
        reduction: 1, or for a JPEG file 2, 4 or 8: its size is divided by it, which takes a
            fraction of the time and the memory.
    """
    # Not cv2.imread, which writes its own warnings beside our one sentence.
    try:
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError:
        return None

    if not data.size:
        return None

    if reduction > 1 and data[:2].tobytes() == _JPEG:
        return cv2.imdecode(data, _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
