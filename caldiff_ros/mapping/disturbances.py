# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What spoils images: things in front of the scene, plain or textured, and motion of the camera."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

#: Pixels along the edge of a patch of one colour in a texture, as a share of the longer side.
_PATCH = 0.06

#: Draws a silhouette, 1 in an array of zeros (H, W) uint8; it is about as large as a share of it.
Silhouette = Callable[[np.ndarray, float, np.random.Generator], None]


def _box(mask: np.ndarray, share: float, random: np.random.Generator) -> None:
    """A rectangle of the image's aspect."""
    height, width = mask.shape
    h, w = (round(np.sqrt(share) * side) for side in (height, width))
    top, left = random.integers(height - h + 1), random.integers(width - w + 1)
    mask[top : top + h, left : left + w] = 1


def _person(mask: np.ndarray, share: float, random: np.random.Generator) -> None:
    """Head and shoulders from the lower edge up."""
    height, width = mask.shape
    # an ellipse of which the upper half is seen, and a head of half its width
    reach = 0.75 * height
    half = round(share * height * width / (np.pi / 2 * reach + 0.5 * height))
    center = int(random.integers(width))
    cv2.ellipse(mask, (center, height), (half, round(reach)), 0, 0, 360, 1, cv2.FILLED)
    cv2.circle(mask, (center, round(0.25 * height)), half // 2, 1, cv2.FILLED)


def _arm(mask: np.ndarray, share: float, random: np.random.Generator) -> None:
    """A thick line from the lower edge to somewhere in the middle."""
    height, width = mask.shape
    begin = int(random.integers(width)), height
    u, v = (round(side * random.uniform(0.3, 0.7)) for side in (width, height))
    length = np.hypot(u - begin[0], v - begin[1])
    # a band and half a disc at its end: thickness * length + pi / 8 * thickness^2
    root = np.sqrt(length**2 + np.pi / 2 * share * height * width)
    thickness = (root - length) / (np.pi / 4)
    cv2.line(mask, begin, (u, v), 1, max(1, round(thickness)))


SILHOUETTES: dict[str, Silhouette] = {'box': _box, 'person': _person, 'arm': _arm}


def occlude(
    image: np.ndarray,
    share: float,
    random: np.random.Generator,
    silhouette: str | None = None,
    textured: bool | None = None,
) -> np.ndarray:
    """An image, uint8 (H, W, 3), with something in front of it.

    Args:
        image: the image, which stays as it is.
        share: about how much of it is hidden, 0..1.
        random: chooses place, colours, and what is not given.
        silhouette: see `SILHOUETTES`.
        textured: whether it has many colours.
    """
    height, width = image.shape[:2]
    name = silhouette or random.choice(list(SILHOUETTES))
    mask = np.zeros((height, width), np.uint8)
    SILHOUETTES[name](mask, share, random)

    if textured is None:
        textured = bool(random.integers(2))
    patch = max(height, width) * (_PATCH if textured else 1)
    shape = (*(max(1, round(side / patch)) for side in (height, width)), 3)
    colors = random.integers(0, 256, shape).astype(np.uint8)
    if not textured:
        colors = colors[:1, :1]
    surface = cv2.resize(colors, (width, height), interpolation=cv2.INTER_LINEAR)

    return np.where(mask[..., None] > 0, surface, image)


def motion_blurred(image: np.ndarray, length_px: float, angle: float) -> np.ndarray:
    """An image, uint8 (H, W, 3), of a camera that moved on along a direction.

    Args:
        image: the image.
        length_px: how far everything moves in it.
        angle: the direction in radians, from u to v.
    """
    size = 2 * int(np.ceil(length_px / 2)) + 1
    # drawn four times as large, as a line of OpenCV has no fractions of pixels
    fine = np.zeros((4 * size, 4 * size), np.float32)
    center, half = 2 * size, 2 * length_px
    du, dv = round(half * np.cos(angle)), round(half * np.sin(angle))
    cv2.line(fine, (center - du, center - dv), (center + du, center + dv), 1.0, 4)
    kernel = cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)

    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
