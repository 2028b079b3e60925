# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels of a frame: colour, alpha and depth, seen by any pinhole camera at its place."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.camera import resample
from caldiff_ros.scenes.scene import Frame

#: Relative difference of the two scales up to which an image counts as resized, not cropped.
_ASPECT_TOLERANCE = 0.01


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file; only its header is read."""
    with _opened(path) as image:
        return image.size


def has_alpha(path: Path) -> bool:
    """Whether an image file has an alpha channel; only its header is read."""
    with _opened(path) as image:
        return 'A' in image.getbands()


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> CaldiffError:
    return CaldiffError(
        f'{path} is not a readable image, expected a PNG or JPEG file; check the path and the file'
    )


def read_image(path: Path, background: str = 'white') -> np.ndarray:
    """An image file as uint8 RGB (H, W, 3), transparent pixels on the background.

    Args:
        path: the file; its EXIF orientation is ignored, as intrinsics are those of the sensor.
        background: 'white'; 'black' and 'none' are black.
    """
    pixels = read_pixels(path)
    rgb = pixels[..., :3]
    if pixels.shape[2] == 3:
        return rgb

    alpha = pixels[..., 3:].astype(np.float32) / 255
    color = 255.0 if background == 'white' else 0.0
    return np.rint(rgb * alpha + color * (1 - alpha)).astype(np.uint8)


def load_image(frame: Frame, camera: Camera | None = None, background: str = 'white') -> np.ndarray:
    """The frame as ``camera`` would have seen it, uint8 RGB (H, W, 3).

    Args:
        frame: the frame.
        camera: pinhole camera at the frame's pose; default, the frame's own without distortion.
        background: see `read_image`.
    """
    image = read_image(frame.image_path, background)
    source = fitted_camera(frame.camera, image, str(frame.image_path))
    return resample(image, source, camera or frame.camera.pinhole())[0]


def load_alpha(frame: Frame, camera: Camera | None = None) -> np.ndarray | None:
    """Opacity in 0..1 as `load_image` samples it, float32 (H, W); None without alpha channel."""
    pixels = read_pixels(frame.image_path)
    if pixels.shape[2] == 3:
        return None

    alpha = np.repeat(pixels[..., 3:], 3, axis=2)
    source = fitted_camera(frame.camera, alpha, str(frame.image_path))
    alpha, _ = resample(alpha, source, camera or frame.camera.pinhole())

    return alpha[..., 0].astype(np.float32) / 255


def load_depth(frame: Frame, camera: Camera | None = None) -> np.ndarray | None:
    """Depth along the optical axis in map units, float32 (H, W); 0 where it is not known.

    Every pixel takes the nearest measured one: a mean over an edge would be a point in the air.
    Both ends of the 16-bit range mean 'unknown'.

    Args:
        frame: the frame.
        camera: see `load_image`.

    Returns:
        The depth, or None for a frame without depth image.
    """
    if frame.depth_path is None:
        return None

    counts = _decode(frame.depth_path)
    if counts is None or counts.dtype != np.uint16 or counts.ndim != 2:
        raise CaldiffError(
            f'{frame.depth_path} is not a depth image, expected a PNG with one 16-bit channel; '
            'export it again'
        )

    source = fitted_camera(frame.depth_camera or frame.camera, counts, str(frame.depth_path))
    target = camera or frame.camera.pinhole()
    uv = source.project(target.pixel_directions()).reshape(target.height, target.width, 2)
    in_range = (uv >= 0) & (uv < np.array([source.width, source.height]))
    inside = np.asarray(in_range.all(axis=-1))
    u, v = np.where(inside[..., None], uv, 0).astype(int).transpose(2, 0, 1)
    counts = np.where(inside, counts[v, u], 0)

    return np.where(counts == 65535, 0, counts).astype(np.float32) * np.float32(frame.depth_unit)


def fitted_camera(camera: Camera, image: np.ndarray, where: str) -> Camera:
    """The camera at the size of an image that shows the same view.

    Raises:
        CaldiffError: if the aspect differs, as it does for a cropped or turned image.
    """
    height, width = image.shape[:2]
    ratio = (width / camera.width) / (height / camera.height)

    # A rounded size is off by up to half a pixel, which is more than 1 % of a tiny image.
    tolerance = max(_ASPECT_TOLERANCE, 1 / min(width, height))
    if abs(ratio - 1) > tolerance:
        raise CaldiffError(
            f'{where} is {width}x{height} pixels but its camera is '
            f'{camera.width}x{camera.height}, expected the same aspect; give the intrinsics of '
            'this image'
        )

    return camera.resized(width, height)


def read_pixels(path: Path) -> np.ndarray:
    """An image file as uint8 RGB (H, W, 3) or RGBA (H, W, 4), whatever it holds.

    Raises:
        CaldiffError: if it is no image.
    """
    pixels = _decode(path)
    if pixels is None:
        raise _unreadable(path)
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / 257).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise _unreadable(path)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)

    conversion = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return cv2.cvtColor(pixels, conversion)


def _decode(path: Path) -> np.ndarray | None:
    """Pixels as OpenCV orders them; None if the file is no image."""
    # Not cv2.imread, which writes its own warnings beside our one sentence.
    try:
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError:
        return None

    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
