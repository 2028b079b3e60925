# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the check of a capture needs of each image: features, sharpness, and whether it is new."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Camera
from caldiff_ros.parallel import in_parallel
from caldiff_ros.scenes.features import features_of, mirrored_descriptors
from caldiff_ros.scenes.images import read_frame
from caldiff_ros.scenes.pixels import read_image
from caldiff_ros.scenes.scene import Frame

#: Images are reduced to this longer side in pixels; smaller ones are enlarged, as most features of
#: tiny images are too small for SIFT.
_LONGER_SIDE, _LEAST_SIDE = 320, 160
#: Features of an image at most: more of them do not change a verdict.
_FEATURES = 600


@dataclass(frozen=True)
class CheckedImage:
    """An image of a frame.

    Attributes:
        frame: the frame.
        camera: of the image at the size at which it is checked, without distortion.
        xy: directions of its features at z = 1, without distortion, (F, 2) float64.
        descriptors: theirs, (F, 128).
        sharpness: mean squared Laplacian over the variance of the image.
        digest: the same for images that are the same, pixel by pixel.
    """

    frame: Frame
    camera: Camera
    xy: np.ndarray
    descriptors: Tensor
    sharpness: float
    digest: bytes

    @classmethod
    def of(cls, frame: Frame) -> CheckedImage:
        """Read the image of a frame."""
        longer = max(frame.camera.width, frame.camera.height)
        camera = frame.camera.downscaled(max(1.0, longer / _LONGER_SIDE))
        image, _ = read_frame(frame, target=camera)
        factor = max(1, _LEAST_SIDE // max(camera.width, camera.height))
        camera = camera.resized(factor * camera.width, factor * camera.height)
        interpolation = cv2.INTER_AREA if camera.width < image.shape[1] else cv2.INTER_CUBIC
        size = (camera.width, camera.height)
        image = cv2.resize(image, size, interpolation=interpolation)
        places, descriptors = features_of(image, _usable(frame, camera), _FEATURES)
        return cls(
            frame=frame,
            camera=camera.pinhole(),
            xy=_directions(places.numpy().astype(np.float64), camera),
            descriptors=descriptors,
            sharpness=_sharpness(image),
            digest=hashlib.sha256(image.tobytes()).digest(),
        )

    def mirrored(self) -> CheckedImage:
        """As it would be had left and right been exchanged; sharpness and digest stay."""
        return replace(
            self, xy=self.xy * (-1, 1), descriptors=mirrored_descriptors(self.descriptors)
        )


def checked_images(frames: Sequence[Frame]) -> list[CheckedImage]:
    """The images of frames, in parallel."""
    arguments = [(frame,) for frame in frames]
    return in_parallel(CheckedImage.of, arguments, torch.get_num_threads())


def _usable(frame: Frame, camera: Camera) -> np.ndarray | None:
    """Pixels that the mask of a frame leaves, bool (H, W); None without a mask."""
    if frame.mask_path is None:
        return None

    mask = np.asarray(read_image(frame.mask_path, 'black').any(axis=-1), np.uint8)
    size = (camera.width, camera.height)
    return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 0


def _directions(uv: np.ndarray, camera: Camera) -> np.ndarray:
    """Directions (F, 2) at z = 1 of places (F, 2) in the image of a camera."""
    if not len(uv):
        return np.zeros((0, 2))
    if camera.is_pinhole:
        return (uv - (camera.cx, camera.cy)) / (camera.fx, camera.fy)

    undistorted = (
        cv2.fisheye.undistortPoints
        if camera.distortion_model == 'equidistant'
        else cv2.undistortPoints
    )
    return undistorted(uv[:, None], camera.matrix(), np.array(camera.distortion))[:, 0]


def _sharpness(image: np.ndarray) -> float:
    """Of an image, uint8 (H, W, 3): it does not depend on the contrast."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    variance = float(grey.var())
    return float((cv2.Laplacian(grey, cv2.CV_32F) ** 2).mean()) / max(variance, 1.0)
