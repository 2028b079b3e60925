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
from caldiff_ros.scenes.images import load_depth, load_layers, load_mask
from caldiff_ros.scenes.scene import Frame

logger = logging.getLogger(__name__)

#: Blank images that a warning names.
_MOST_NAMED = 5


@dataclass(frozen=True)
class ReadFrame:
    """A frame as the camera of a map would have seen it.

    Attributes:
        frame: of the dataset.
        rgb: colours on black, uint8 (H, W, 3); what a mask hides has the mean colour of the rest.
        seen: pixels that the photograph covers and no mask hides, bool (H, W).
        alpha: opacity in 0..1, float32 (H, W); None for a photograph.
        depth: z-depth in map units, 0 where unknown, float32 (H, W); None without.
    """

    frame: Frame
    rgb: np.ndarray
    seen: np.ndarray
    alpha: np.ndarray | None
    depth: np.ndarray | None


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
        """Read frames as ``camera`` would have seen them; see `read_frames`."""
        return cls.of(read_frames(frames, camera), camera, normalization)

    @classmethod
    def of(cls, read: Sequence[ReadFrame], camera: Camera, normalization: Normalization) -> Views:
        """Views of the frames that were read with ``camera``.

        Frames without depth among those that have it have an unknown one; those without alpha
        among silhouettes are opaque.
        """
        T_map_cam = Pose.from_matrix(np.stack([each.frame.T_map_cam for each in read]))
        z = _stack([each.depth for each in read], missing=0.0)

        return cls(
            camera=camera,
            T_norm_cam=normalization.to_norm(T_map_cam).to(torch.float32),
            # in place, as thousands of images take gigabytes
            rgb=torch.from_numpy(np.stack([each.rgb for each in read])).float().div_(255),
            alpha=_stack([each.alpha for each in read], missing=1.0),
            seen=torch.from_numpy(np.stack([each.seen for each in read])),
            depth=None if z is None else z / normalization.side,
        )

    def __len__(self) -> int:
        return len(self.rgb)

    def subset(self, chosen: Tensor) -> Views:
        """Those of the views that are ``chosen``, bool (V,) or indices."""
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


def read_frames(frames: Sequence[Frame], camera: Camera) -> list[ReadFrame]:
    """Read frames whose image shows anything; fully transparent ones are skipped with a warning.

    Such an image is a failure of what removed the background. Taken at its word, it would carve the
    scene away.
    """
    read = [load_frame(frame, camera) for frame in frames]
    shown = [each for each in read if each is not None]
    if len(shown) < len(frames):
        pairs = zip(frames, read, strict=True)
        blank = sorted(frame.name for frame, each in pairs if each is None)
        logger.warning(
            '%d of %d images are skipped because they are fully transparent: %s',
            len(blank),
            len(frames),
            ', '.join(blank[:_MOST_NAMED]) + (', ...' if len(blank) > _MOST_NAMED else ''),
        )

    return shown


def load_frame(frame: Frame, camera: Camera) -> ReadFrame | None:
    """A frame as the camera would have seen it; None if it shows nothing."""
    layers = load_layers(frame, camera)
    if layers is None:
        return None

    color, seen, alpha = layers
    depth = load_depth(frame, camera)
    unmasked = load_mask(frame, camera)
    if unmasked is not None:
        seen = seen & unmasked  # maps of a resampling are kept, so not in place
        color[~unmasked] = color[seen].mean(axis=0) if seen.any() else 0
        if alpha is not None:
            alpha[~unmasked] = 1  # what is hidden carves nothing
        if depth is not None:
            depth[~unmasked] = 0

    return ReadFrame(frame, color, seen, alpha, depth)


def _stack(images: Sequence[np.ndarray | None], missing: float) -> Tensor | None:
    """Images (V, H, W), those that are not there full of one value; None if none is there."""
    there = [image for image in images if image is not None]
    if not there:
        return None

    filled = [np.full_like(there[0], missing) if image is None else image for image in images]
    return torch.from_numpy(np.stack(filled))
