# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels of a frame: colour, alpha, mask and depth, seen by any pinhole camera at its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.camera import resample
from caldiff_ros.scenes.pixels import (
    decode,
    exif_orientation,
    has_alpha,
    image_size,
    on_background,
    possible_reduction,
    read_image,
    read_pixels,
)
from caldiff_ros.scenes.scene import Frame

#: Relative difference of the two scales up to which an image counts as resized, not cropped.
_ASPECT_TOLERANCE = 0.01
#: A pixel is used where so much of it is, 0..255, as a mask at another resolution is a mean.
_UNMASKED = 250
#: An image is decoded reduced where this many times what is needed are left for the resampling.
_SPARE = 2.0


def read_frame(
    frame: Frame, background: str = 'white', target: Camera | None = None
) -> tuple[np.ndarray, Camera]:
    """The image of a frame, uint8 RGB (H, W, 3), and its camera at the size of the image.

    Args:
        frame: the frame.
        background: see `read_image`.
        target: what the image will be resampled to; a file that is much larger is decoded reduced.

    Raises:
        CaldiffError: if the image cannot be read or is not one of the frame's camera.
    """
    image = on_background(_read_pixels(frame, target), background)
    return image, _camera_of(frame, image)


def _read_pixels(frame: Frame, target: Camera | None) -> np.ndarray:
    reduction = 1
    if target is not None:
        shrinks = min(frame.camera.fx / target.fx, frame.camera.fy / target.fy)
        reduction = possible_reduction(frame.image_path, shrinks / _SPARE)

    return read_pixels(frame.image_path, frame.upright, reduction)


def _camera_of(frame: Frame, image: np.ndarray) -> Camera:
    return fitted_camera(frame.camera, image, frame.image_path)


def load_image(frame: Frame, camera: Camera | None = None, background: str = 'white') -> np.ndarray:
    """The frame as ``camera`` would have seen it, uint8 RGB (H, W, 3).

    Args:
        frame: the frame.
        camera: pinhole camera at the frame's pose; default, the frame's own without distortion.
        background: see `read_image`.
    """
    target = camera or frame.camera.pinhole()
    image, source = read_frame(frame, background, target)
    return resample(image, source, target)[0]


def load_alpha(frame: Frame, camera: Camera | None = None) -> np.ndarray | None:
    """Opacity in 0..1 as `load_image` samples it, float32 (H, W).

    None for an image without alpha channel, or with one that is opaque everywhere: many programs
    write such a channel into photographs, and it is the silhouette of nothing.
    """
    if not has_alpha(frame.image_path):
        return None

    pixels = read_pixels(frame.image_path, frame.upright)
    target = camera or frame.camera.pinhole()
    return _alpha_in(pixels, _camera_of(frame, pixels), target)


def load_layers(
    frame: Frame, camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
    """Colour and opacity of a frame as ``camera`` would have seen it; the file is decoded once.

    Returns:
        Colour on black, uint8 RGB (H, W, 3); which pixels the image covers, bool (H, W); and the
        opacity of `load_alpha`. None for an image that is transparent everywhere.
    """
    pixels = _read_pixels(frame, camera)
    if pixels.shape[2] == 4 and not pixels[..., 3].any():
        return None

    source = _camera_of(frame, pixels)
    color, covered = resample(on_background(pixels, 'black'), source, camera)
    return color, covered, _alpha_in(pixels, source, camera)


def _alpha_in(pixels: np.ndarray, source: Camera, target: Camera) -> np.ndarray | None:
    """See `load_alpha`."""
    if pixels.shape[2] == 3 or (pixels[..., 3] == 255).all():
        return None

    alpha, _ = resample(np.repeat(pixels[..., 3:], 3, axis=2), source, target)
    return alpha[..., 0].astype(np.float32) / 255


def load_mask(frame: Frame, camera: Camera | None = None) -> np.ndarray | None:
    """Which pixels of `load_image` the dataset wants used, bool (H, W); None without a mask.

    In the file, black pixels are masked. A pixel of which any part is masked is.
    """
    if frame.mask_path is None:
        return None

    usable = read_image(frame.mask_path, background='black').any(axis=-1, keepdims=True)
    image = np.repeat(np.asarray(usable, np.uint8) * 255, 3, axis=2)
    source = fitted_camera(frame.camera, image, frame.mask_path)
    image, _ = resample(image, source, camera or frame.camera.pinhole())

    return np.asarray(image[..., 0] > _UNMASKED)


def load_depth(frame: Frame, camera: Camera | None = None) -> np.ndarray | None:
    """Depth along the optical axis in map units, float32 (H, W); 0 where it is not known.

    Every pixel takes the nearest measured one: a mean over an edge would be a point in the air.

    Args:
        frame: the frame.
        camera: see `load_image`.

    Returns:
        The depth, or None for a frame without depth image.
    """
    if frame.depth_path is None:
        return None

    measured = _read_depth(frame.depth_path)
    source = fitted_camera(frame.depth_camera or frame.camera, measured, frame.depth_path)
    target = camera or frame.camera.pinhole()
    uv = source.project(target.pixel_directions()).reshape(target.height, target.width, 2)
    in_range = (uv >= 0) & (uv < np.array([source.width, source.height]))
    inside = np.asarray(in_range.all(axis=-1))
    u, v = np.where(inside[..., None], uv, 0).astype(int).transpose(2, 0, 1)

    return np.where(inside, measured[v, u], 0) * np.float32(frame.depth_unit)


def _read_depth(path: Path) -> np.ndarray:
    """Counts of a depth file, float32 (H, W): 16-bit PNG, float TIFF or .npy; 0 is unknown.

    Both ends of the 16-bit range mean 'unknown', and so does what is no positive number.
    """
    counts = _array_in(path) if path.suffix == '.npy' else decode(path)
    # 8 bits are a picture of a depth
    if counts is None or counts.ndim != 2 or counts.dtype.kind not in 'iuf' or counts.itemsize < 2:
        raise CaldiffError(
            f'{path} is not a depth image, expected one channel, 16-bit in a PNG or floating-point '
            'in a TIFF or .npy file; export it again'
        )

    highest = np.iinfo(np.uint16).max if counts.dtype == np.uint16 else np.inf
    known = (counts > 0) & (counts < highest)
    return np.where(known, counts, 0).astype(np.float32)


def _array_in(path: Path) -> np.ndarray | None:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None

    # nerfstudio keeps a channel of its own
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def shows_upright(path: Path, camera: Camera, as_stored: bool = False) -> bool:
    """Whether an image has to be turned as its EXIF orientation says to be one of a camera.

    The size of the camera decides. Where both ways have its aspect, as with an image that is upside
    down, the intrinsics are taken to be those of the image that people see.

    Args:
        path: the file.
        camera: intrinsics of the image.
        as_stored: take the image as it is stored where both ways have the aspect, which is right
            for tools that ignore EXIF.
    """
    if exif_orientation(path) == 1:
        return False

    stored, upright = (same_aspect(camera, *image_size(path, turn)) for turn in (False, True))
    return upright and not (as_stored and stored)


def same_aspect(camera: Camera, width: int, height: int) -> bool:
    """Whether an image of this size may be one of the camera, resized."""
    ratio = (width / camera.width) / (height / camera.height)
    # A rounded size is off by up to half a pixel, which is more than 1 % of a tiny image.
    return abs(ratio - 1) <= max(_ASPECT_TOLERANCE, 1 / min(width, height))


def fitted_camera(camera: Camera, image: np.ndarray, path: Path) -> Camera:
    """The camera at the size of an image that shows the same view.

    Args:
        camera: intrinsics at any size.
        image: the image, (H, W, ...).
        path: its file, for the message.

    Raises:
        CaldiffError: if the aspect differs, as it does for a cropped or turned image.
    """
    height, width = image.shape[:2]
    if not same_aspect(camera, width, height):
        raise CaldiffError(
            f'{path} is {width}x{height} pixels{_exif_note(path)} but its camera is '
            f'{camera.width}x{camera.height}, expected the same aspect ratio; give the intrinsics '
            'of this image'
        )

    return camera.resized(width, height)


def _exif_note(path: Path) -> str:
    try:
        orientation = exif_orientation(path)
    except CaldiffError:  # an array, or an image in memory
        return ''

    return f' (EXIF orientation {orientation})' if orientation > 1 else ''
