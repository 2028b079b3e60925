# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Posed images as tensors, ready to train and judge a field."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Normalization, Pose
from caldiff_ros.geometry.camera import resample
from caldiff_ros.scenes.images import load_alpha, load_depth, load_mask, read_frame
from caldiff_ros.scenes.pixels import has_alpha, read_pixels
from caldiff_ros.scenes.scene import Frame

logger = logging.getLogger(__name__)

#: Blank images that a warning names.
_MOST_NAMED = 5


@dataclass(frozen=True)
class Views:
    """V images of one pinhole camera.

    Attributes:
        camera: the camera of all views.
        T_norm_cam: poses (V,), normalized coordinates.
        rgb: colours in 0..1 on black, (V, H, W, 3).
        alpha: opacity in 0..1, (V, H, W); None for photographs.
        seen: pixels that the photograph covers and no mask hides, (V, H, W).
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
        """Read frames as ``camera`` would have seen them.

        What a mask hides takes the mean colour of the rest of its image. Frames without depth among
        those that have it have an unknown one; those without alpha among silhouettes are opaque.
        """
        read = [_read(frame, camera) for frame in frames]
        colors, seen, alpha, depth = zip(*read, strict=True)
        T_map_cam = Pose.from_matrix(np.stack([frame.T_map_cam for frame in frames]))
        z = _stack(depth, missing=0.0)

        return cls(
            camera=camera,
            T_norm_cam=normalization.to_norm(T_map_cam).to(torch.float32),
            rgb=torch.from_numpy(np.stack(colors)).float() / 255,
            alpha=_stack(alpha, missing=1.0),
            seen=torch.from_numpy(np.stack(seen)),
            depth=None if z is None else z / normalization.side,
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


def without_blank(frames: Sequence[Frame]) -> list[Frame]:
    """The frames whose image shows anything; others, with nothing but transparent pixels, are told.

    Such an image is a failure of what removed the background. Taken at its word, it would carve the
    scene away.
    """
    blank = {frame.name for frame in frames if _is_blank(frame)}
    if not blank:
        return list(frames)

    logger.warning(
        '%d of %d images are not used because they are transparent everywhere: %s',
        len(blank),
        len(frames),
        ', '.join(sorted(blank)[:_MOST_NAMED]) + (', ...' if len(blank) > _MOST_NAMED else ''),
    )
    return [frame for frame in frames if frame.name not in blank]


def _is_blank(frame: Frame) -> bool:
    if not has_alpha(frame.image_path):
        return False

    pixels = read_pixels(frame.image_path)
    return pixels.shape[2] == 4 and not pixels[..., 3].any()


def _read(
    frame: Frame, camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Colour on black, what is seen, alpha and depth of a frame, each (H, W, ...)."""
    image, source = read_frame(frame, background='black', target=camera)
    color, seen = resample(image, source, camera)
    alpha, depth = load_alpha(frame, camera), load_depth(frame, camera)

    unmasked = load_mask(frame, camera)
    if unmasked is not None:
        seen = seen & unmasked  # maps of a resampling are kept, so not in place
        color[~unmasked] = color[seen].mean(axis=0) if seen.any() else 0
        if alpha is not None:
            alpha[~unmasked] = 1  # what is hidden carves nothing
        if depth is not None:
            depth[~unmasked] = 0

    return color, seen, alpha, depth


def _stack(images: Sequence[np.ndarray | None], missing: float) -> Tensor | None:
    """Images (V, H, W), those that are not there full of one value; None if none is there."""
    there = [image for image in images if image is not None]
    if not there:
        return None

    filled = [np.full_like(there[0], missing) if image is None else image for image in images]
    return torch.from_numpy(np.stack(filled))
