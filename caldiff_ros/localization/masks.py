# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels of an image that show nothing of the place: the robot itself, and letterbox bars."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.camera import resample

#: A mask may have another aspect than its image by this much, as sizes are rounded.
_ASPECT_TOLERANCE = 0.01
#: A row belongs to a bar if this share of it differs from the bar's colour by this at most, of 255,
#: as after a JPEG compression,
_BAR_SHARE, _BAR_DIFFERENCE = 0.98, 10
#: and the rows beside the bar, where compression and resizing mix both, are left out with it.
_BAR_RIM_PX = 2
#: Bars are thicker than this share of the side: a dark row or two are no letterbox.
_THINNEST_BAR = 0.02
#: Between bars remains at least this share of the side: an image of next to one colour has none.
_LEAST_BETWEEN = 0.3
#: Grey values of the backgrounds that a map may have; 'none' is none.
_BACKGROUNDS = {'white': 255.0, 'black': 0.0}
#: A pixel of the map's camera is used if the share of it that is used is above this, of 255.
_UNMASKED = 250


def read_mask(path: str | Path) -> np.ndarray:
    """The pixels to use, bool (H, W): those that are not black in an image file.

    Raises:
        CaldiffError: if it is no image, or all black.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if Path(path).is_file() else None
    if pixels is None:
        raise CaldiffError(
            f'the mask {path} cannot be read, expected an image that is black where the camera '
            'sees the robot itself; check the path'
        )

    return checked_mask(pixels > 0, str(path))


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a file that `read_mask` reads.

    Raises:
        OSError: if it cannot be written.
    """
    path.write_bytes(cv2.imencode('.png', mask.astype(np.uint8) * 255)[1].tobytes())


def checked_mask(mask: np.ndarray, source: str) -> np.ndarray:
    """The mask, if it is one that leaves something to see.

    Raises:
        CaldiffError: if it is not.
    """
    if mask.dtype != bool or mask.ndim != 2 or not mask.any():
        raise CaldiffError(
            f'the mask {source} is {mask.dtype} {mask.shape} with {int(np.count_nonzero(mask))} '
            'pixels to use, expected bool (H, W) with some; it is black where the camera sees the '
            'robot itself, white elsewhere'
        )

    return mask


def shown_pixels(image: np.ndarray, mask: np.ndarray | None, background: str) -> np.ndarray:
    """The pixels of an image that show something, bool (H, W).

    Args:
        image: uint8 RGB (H, W, 3).
        mask: pixels to use at any resolution, bool; None for all of them.
        background: of the map; bars of its colour are what the scene looks like.

    Raises:
        CaldiffError: if the mask has another aspect ratio than the image.
    """
    height, width = image.shape[:2]
    shown = _between_bars(image, background)
    if mask is None:
        return shown

    mask_height, mask_width = mask.shape
    if abs(mask_width * height / (mask_height * width) - 1) > _ASPECT_TOLERANCE:
        raise CaldiffError(
            f'the mask is {mask_width}x{mask_height} pixels but the image is {width}x{height}, '
            'expected the same aspect ratio; make a mask of an image of this camera'
        )

    to_use = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA)
    return shown & (to_use > _UNMASKED)


def seen_through(shown: np.ndarray, source: Camera, target: Camera) -> np.ndarray:
    """The pixels of ``target`` that show something, (H, W) bool, see `resample`.

    Args:
        shown: pixels of ``source`` that do, bool (source.height, source.width).
        source: camera of the image.
        target: camera wanted, without distortion.
    """
    channels = np.repeat(shown[..., None].astype(np.uint8) * 255, 3, axis=2)
    resampled, _ = resample(channels, source, target)
    return np.asarray(resampled[..., 0] > _UNMASKED)


def _between_bars(image: np.ndarray, background: str) -> np.ndarray:
    """What lies between bars of one colour at opposite or single borders, bool (H, W)."""
    height, width = image.shape[:2]
    top, bottom = _inner_range(image, background)
    left, right = _inner_range(image.transpose(1, 0, 2), background)

    shown = np.zeros((height, width), dtype=bool)
    shown[top:bottom, left:right] = True
    return shown


def _inner_range(rows: np.ndarray, background: str) -> tuple[int, int]:
    """First row between the bars, and the one after the last."""
    n = len(rows)
    first = _bar_thickness(rows, background)
    last = _bar_thickness(rows[::-1], background)
    return (first, n - last) if n - first - last >= _LEAST_BETWEEN * n else (0, n)


def _bar_thickness(rows: np.ndarray, background: str) -> int:
    """Rows of the bar that begins with the first of ``rows`` (N, M, 3), rim included; 0 if none."""
    color = np.median(rows[0], axis=0)
    if background in _BACKGROUNDS and np.abs(color - _BACKGROUNDS[background]).max() <= (
        _BAR_DIFFERENCE
    ):
        return 0

    for thickness, row in enumerate(rows):
        near = (np.abs(row - color) <= _BAR_DIFFERENCE).all(axis=-1)
        if near.mean() < _BAR_SHARE:
            return thickness + _BAR_RIM_PX if thickness > _THINNEST_BAR * len(rows) else 0

    return len(rows)
