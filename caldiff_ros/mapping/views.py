# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Posed images as tensors, ready to train and judge a field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Normalization, Pose
from caldiff_ros.geometry.camera import resample
from caldiff_ros.scenes.images import fitted_camera, load_alpha, load_depth, read_image
from caldiff_ros.scenes.scene import Frame


@dataclass(frozen=True)
class Views:
    """V images of one pinhole camera.

    Attributes:
        camera: the camera of all views.
        T_norm_cam: poses (V,), normalized coordinates.
        rgb: colours in 0..1 on black, (V, H, W, 3).
        alpha: opacity in 0..1, (V, H, W); None for photographs.
        seen: pixels that the photograph covers, (V, H, W).
        depth: z-depth in normalized units, 0 where unknown, (V, H, W); None without depth.
    """

    camera: Camera
    T_norm_cam: Pose
    rgb: Tensor
    alpha: Tensor | None
    seen: Tensor
    depth: Tensor | None

    @classmethod
    def load(cls, frames: Sequence[Frame], camera: Camera, normalization: Normalization) -> Views:
        """Read frames as ``camera`` would have seen them."""
        colors, masks = [], []
        for frame in frames:
            image = read_image(frame.image_path, background='black')
            source = fitted_camera(frame.camera, image, str(frame.image_path))
            color, seen = resample(image, source, camera)
            colors.append(color)
            masks.append(seen)

        T_map_cam = Pose.from_matrix(np.stack([frame.T_map_cam for frame in frames]))
        depth = _stack([load_depth(frame, camera) for frame in frames])
        return cls(
            camera=camera,
            T_norm_cam=normalization.to_norm(T_map_cam).to(torch.float32),
            rgb=torch.from_numpy(np.stack(colors)).float() / 255,
            alpha=_stack([load_alpha(frame, camera) for frame in frames]),
            seen=torch.from_numpy(np.stack(masks)),
            depth=None if depth is None else depth / normalization.side,
        )

    def __len__(self) -> int:
        return len(self.rgb)

    def subset(self, chosen: Tensor) -> Views:
        """Those of the views that are ``chosen``, bool (V,)."""
        return Views(
            camera=self.camera,
            T_norm_cam=self.T_norm_cam[chosen],
            rgb=self.rgb[chosen],
            alpha=None if self.alpha is None else self.alpha[chosen],
            seen=self.seen[chosen],
            depth=None if self.depth is None else self.depth[chosen],
        )

    def require_alpha(self) -> Tensor:
        """Opacity (V, H, W) of views that have it.

        Raises:
            ValueError: if they have none.
        """
        if self.alpha is None:
            raise ValueError('the views are photographs, expected images with alpha')
        return self.alpha

    def require_depth(self) -> Tensor:
        """Depth (V, H, W) of views that have it.

        Raises:
            ValueError: if they have none.
        """
        if self.depth is None:
            raise ValueError('the views have no depth, expected depth images')
        return self.depth

    def on_background(self, color: float) -> Tensor:
        """Colours (V, H, W, 3) with transparent pixels in ``color`` (0 black, 1 white)."""
        if self.alpha is None:
            return self.rgb
        return self.rgb + (1 - self.alpha[..., None]) * color


def _stack(images: list[np.ndarray | None]) -> Tensor | None:
    there = [image for image in images if image is not None]
    return torch.from_numpy(np.stack(there)) if len(there) == len(images) else None
