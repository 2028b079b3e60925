# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The images that the map of the baseline is made from: as a field saw them, or at full size."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from caldiff_ros.baselines.hloc.config import FULL_SIDE, HlocConfig
from caldiff_ros.geometry import Camera
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.mapping.views import ReadFrame, Views, read_frames
from caldiff_ros.nerf.field import BACKGROUND_COLORS
from caldiff_ros.scenes import Frame


@dataclass(frozen=True)
class TrainingImages:
    """What the map is made from.

    Attributes:
        rgb: V images, uint8 (H, W, 3), on the map's background.
        seen: which of their pixels count, V times bool (H, W).
        T_map_cam: poses (V, 4, 4) float64.
        camera: of all images.
    """

    rgb: Sequence[np.ndarray]
    seen: Sequence[np.ndarray]
    T_map_cam: np.ndarray
    camera: Camera

    @classmethod
    def of_views(cls, views: Views, localization_map: LocalizationMap) -> TrainingImages:
        """The images that the map was made of, at its size."""
        rgb = views.on_background(BACKGROUND_COLORS[localization_map.background])
        return cls(
            list((rgb.clamp(0, 1) * 255).round().to(torch.uint8).numpy()),
            list(views.seen.numpy()),
            localization_map.to_map(views.T_norm_cam),
            views.camera,
        )

    @classmethod
    def of_photographs(
        cls, frames: Sequence[Frame], localization_map: LocalizationMap
    ) -> TrainingImages:
        """Frames, with poses in the map, at the size of the first one's file, up to `FULL_SIDE`.

        They stay bytes: hundreds of photographs as floating-point numbers fill a memory.
        """
        camera = frames[0].camera.pinhole()
        camera = camera.downscaled(max(1.0, max(camera.width, camera.height) / FULL_SIDE))
        read = read_frames(frames, camera)
        color = BACKGROUND_COLORS[localization_map.background]

        return cls(
            [_on_background(each, color) for each in read],
            [each.seen for each in read],
            np.stack([each.frame.T_map_cam for each in read]),
            camera,
        )

    def digest(self, config: HlocConfig, seed: int) -> str:
        """What a map made from them is known by."""
        digest = hashlib.sha256(repr((asdict(config), asdict(self.camera), seed)).encode())
        for array in (*self.rgb, *self.seen, self.T_map_cam):
            digest.update(np.ascontiguousarray(array).tobytes())

        return digest.hexdigest()


def _on_background(read: ReadFrame, color: float) -> np.ndarray:
    if read.alpha is None:
        return read.rgb

    behind = 255 * color * (1 - read.alpha[..., None])
    return np.rint(np.clip(read.rgb + behind, 0, 255)).astype(np.uint8)
