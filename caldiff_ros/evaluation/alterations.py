# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hard cases made of test images: turned, lit otherwise, blurred, occluded, zoomed in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.camera import turned
from caldiff_ros.mapping.disturbances import motion_blurred, occlude


@dataclass(frozen=True)
class Shot:
    """An image, uint8 RGB (H, W, 3), its camera, and that camera's pose (4, 4) in the map."""

    image: np.ndarray
    camera: Camera
    T_map_cam: np.ndarray


Alteration = Callable[[Shot, np.random.Generator], Shot]


def _turn_quarters(quarters: int, shot: Shot, rng: np.random.Generator) -> Shot:
    """The camera turned by multiples of 90 degrees about its axis: no pixel is interpolated."""
    for _ in range(quarters):
        camera = shot.camera
        rotated = Camera(
            camera.height,
            camera.width,
            camera.fy,
            fy=camera.fx,
            cx=camera.cy,
            cy=camera.width - camera.cx,
        )
        image = np.ascontiguousarray(np.rot90(shot.image))
        shot = Shot(image, rotated, shot.T_map_cam @ _about_axis(math.pi / 2))

    return shot


def _turn(shot: Shot, rng: np.random.Generator) -> Shot:
    """The camera turned by any angle, its field narrowed so that all of it was seen."""
    angle = rng.uniform(0, 2 * math.pi)
    camera = shot.camera.pinhole()
    side = min(camera.width, camera.height) / math.sqrt(2)
    target = replace(camera, width=int(side), height=int(side), cx=int(side) / 2, cy=int(side) / 2)
    T_cam_turned = _about_axis(angle)
    image = turned(
        shot.image,
        camera,
        target,
        R_source_target=T_cam_turned[:3, :3],
        border=cv2.BORDER_REPLICATE,
    )

    return Shot(image, target, shot.T_map_cam @ T_cam_turned)


def _zoom(factor: float, shot: Shot, rng: np.random.Generator) -> Shot:
    """Another focal length: the middle of the image at the size of the whole."""
    camera = shot.camera
    width, height = round(camera.width / factor), round(camera.height / factor)
    left, top = (camera.width - width) // 2, (camera.height - height) // 2
    part = shot.image[top : top + height, left : left + width]
    cropped = replace(camera, width=width, height=height, cx=camera.cx - left, cy=camera.cy - top)
    image = cv2.resize(part, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)

    return Shot(image, cropped.resized(camera.width, camera.height), shot.T_map_cam)


def _relight(
    gain: tuple[float, float, float], gamma: float, shot: Shot, rng: np.random.Generator
) -> Shot:
    """Brightness and white balance by a gain per channel, and a gamma."""
    image = np.clip((shot.image / 255.0) ** gamma * gain, 0, 1)
    return replace(shot, image=(255 * image).round().astype(np.uint8))


def _blur(share: float, shot: Shot, rng: np.random.Generator) -> Shot:
    """Out of focus: a Gaussian whose standard deviation is a share of the longer side."""
    sigma = share * max(shot.image.shape[:2])
    return replace(shot, image=cv2.GaussianBlur(shot.image, (0, 0), sigma))


def _hide(silhouette: str, textured: bool, shot: Shot, rng: np.random.Generator) -> Shot:
    """Something in front, over about a quarter of the image."""
    return replace(shot, image=occlude(shot.image, 0.25, rng, silhouette, textured))


def _move(share: float, shot: Shot, rng: np.random.Generator) -> Shot:
    """Blurred by motion over a share of the longer side, in any direction."""
    length_px = share * max(shot.image.shape[:2])
    return replace(shot, image=motion_blurred(shot.image, length_px, rng.uniform(0, math.pi)))


ALTERATIONS: dict[str, Alteration] = {
    'roll-90': partial(_turn_quarters, 1),
    'roll-180': partial(_turn_quarters, 2),
    'roll-any': _turn,
    'zoom-1.5': partial(_zoom, 1.5),
    'brighter': partial(_relight, (1.4, 1.4, 1.4), 1.0),
    'darker': partial(_relight, (0.6, 0.6, 0.6), 1.0),
    'gamma': partial(_relight, (1.0, 1.0, 1.0), 1.5),
    'white-balance': partial(_relight, (1.2, 1.0, 0.8), 1.0),
    'blurred': partial(_blur, 0.015),
    'moved': partial(_move, 0.04),
    'occluded': partial(_hide, 'box', False),
    'texture-in-front': partial(_hide, 'box', True),
    'person-in-front': partial(_hide, 'person', False),
    'arm-in-front': partial(_hide, 'arm', True),
}


def alter(name: str, frame: str, shot: Shot) -> Shot:
    """A shot made hard; the random numbers depend on the names alone.

    Args:
        name: of the alteration.
        frame: name of the frame, which seeds it.
        shot: as it was taken.

    Raises:
        CaldiffError: if there is no such alteration.
    """
    if name not in ALTERATIONS:
        raise CaldiffError(
            f'alteration {name!r} is not known, expected one of {", ".join(ALTERATIONS)}; give one'
        )

    seed = hashlib.sha256(f'{name} {frame}'.encode()).digest()[:8]
    return ALTERATIONS[name](shot, np.random.default_rng(int.from_bytes(seed, 'big')))


def _about_axis(angle: float) -> np.ndarray:
    """T_cam_turned, (4, 4), of a camera turned about the optical axis."""
    T = np.eye(4)
    T[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return T
