# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pictures that structure from motion is given."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from caldiff_ros.errors import CaldiffError

#: Longer side of the reduced pictures that sharpness and motion are measured in, in pixels.
WORKING_SIZE = 480


@dataclass(frozen=True)
class Picture:
    """A photo, or a frame that was taken from a video.

    Attributes:
        name: of its file below ``images``.
        width, height: in pixels.
        camera: pictures with the same text here were taken with one camera and focal length.
        sharpness: see `sharpness`.
        focal_px: focal length in pixels that the camera wrote into the file.
        seconds: time in the video.
        gps: latitude and longitude in degrees and altitude in metres, as the camera wrote them.
    """

    name: str
    width: int
    height: int
    camera: str
    sharpness: float
    focal_px: float | None = None
    seconds: float | None = None
    gps: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Pictures:
    """What a video or a folder gave.

    Attributes:
        pictures: in the order of time or of names.
        ordered: whether neighbours show the same, as in a video.
        unreadable: one sentence for each file or stretch that could not be read.
    """

    pictures: list[Picture]
    ordered: bool
    unreadable: list[str]


def reduced(gray: np.ndarray) -> np.ndarray:
    """A grey picture (H, W) uint8 with `WORKING_SIZE` as its longer side; small ones stay."""
    factor = WORKING_SIZE / max(gray.shape)
    if factor >= 1:
        return gray
    return cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def sharpness(gray: np.ndarray) -> float:
    """Variance of the Laplacian of a reduced picture (H, W) uint8, which blur takes away."""
    return float(cv2.Laplacian(gray, cv2.CV_32F).var())


def check_space(folder: Path, n_bytes: int) -> None:
    """Complain before the work, not in the middle of it, where a disk is too full.

    Raises:
        CaldiffError: if less is free where ``folder`` is.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise CaldiffError(
            f'{folder} has {free / 1e9:.1f} GB of free space, expected at least '
            f'{n_bytes / 1e9:.1f} GB; free some or give another --output'
        )
