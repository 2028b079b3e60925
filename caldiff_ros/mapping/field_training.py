# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the trainings of all kinds of fields share: their data, their rays, their quality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from caldiff_ros.geometry import Normalization
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.sparse_points import SparsePoints
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.field import BACKGROUND_COLORS, RadianceField, pixel_directions

#: PSNR on held-out views is reported after this many steps, and at the end, on this many of them.
PSNR_INTERVAL = 500
MAX_PSNR_VIEWS = 4


@dataclass(frozen=True, kw_only=True)
class FieldViews:
    """What a field is trained on.

    Attributes:
        views: training images.
        held_out: images whose PSNR is reported; they influence nothing. None without.
        normalization: from the coordinates of the dataset to those of the views, for a field that
            was trained elsewhere; None if these are the same.
        points: of features that the images share, to start from; None without.
        aabb: box that holds the scene, (2, 3), normalized coordinates.
        background: 'white', 'black' or 'none', what the trained field shows behind the scene.
    """

    views: Views
    aabb: Tensor
    background: str
    held_out: Views | None = None
    normalization: Normalization | None = None
    points: SparsePoints | None = None

    def without(self, held_out: Tensor) -> FieldViews:
        """What is left without the views that are ``held_out``, bool (V,), and without a report."""
        points = None if self.points is None else self.points.subset(~held_out)
        return replace(self, views=self.views.subset(~held_out), held_out=None, points=points)


@dataclass(frozen=True, kw_only=True)
class FieldTraining(ABC):
    """How a field comes to be: the user's configuration, see `kinds.FIELD_KINDS`."""

    kind: ClassVar[str]

    @abstractmethod
    def train(self, data: FieldViews, context: BuildContext) -> RadianceField:
        """The trained field on the context's device, its parameters frozen."""

    @property
    def is_given(self) -> bool:
        """Whether the field existed before the images, which can then evaluate it."""
        return False

    def steps(self, n_views: int) -> int | None:
        """Optimizer steps of one image each; None where the training has no such steps."""
        return None

    def shortened(self, share: float) -> FieldTraining:
        """The same in this share of its steps, if it has any."""
        return self

    def origin(self) -> dict[str, Any]:
        """What a map remembers of a field that was not trained on its own images."""
        return {}

    def as_plain(self) -> dict[str, Any]:
        """The configuration as plain values, for the provenance of a map."""
        return asdict(self)


@dataclass(frozen=True)
class RayPool:
    """Training rays (N, 3), (N, 3) and their pixels (N, 5): premultiplied rgb, alpha, depth."""

    origins: Tensor
    directions: Tensor
    pixels: Tensor

    @classmethod
    def of(cls, views: Views) -> RayPool:
        """All rays that the photographs cover, view by view."""
        directions = pixel_directions(views.camera)
        directions = (directions @ views.T_norm_cam.R.transpose(-1, -2)).flatten(0, 1)
        origins = views.T_norm_cam.t[:, None].expand(-1, views.seen[0].numel(), 3).flatten(0, 1)

        alpha = torch.ones_like(views.rgb[..., 0]) if views.alpha is None else views.alpha
        depth = torch.zeros_like(alpha) if views.depth is None else views.depth
        pixels = torch.cat([views.rgb, alpha[..., None], depth[..., None]], dim=-1).flatten(0, 2)

        return cls(origins, directions, pixels)[views.seen.flatten()]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor) -> RayPool:
        return RayPool(self.origins[index], self.directions[index], self.pixels[index])

    def to(self, device: torch.device) -> RayPool:
        """Move the tensors."""
        return RayPool(self.origins.to(device), self.directions.to(device), self.pixels.to(device))


def on_random_background(
    pixels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Colours of pixels (N, 5), see `RayPool`, each in front of a random grey.

    It leaves an opaque surface as the only explanation of a colour, for images with alpha and for
    photographs alike.

    Returns:
        Colours (N, 3), the greys (N, 1), and more random numbers in 0..1, (N,).
    """
    random = torch.rand(len(pixels), 2, generator=generator, device=pixels.device)
    background = random[:, :1]
    colors = pixels[:, :3] + (1 - pixels[:, 3:4]) * background

    return colors, background, random[:, 1]


def psnr(field: RadianceField, views: Views, max_views: int | None = None) -> float:
    """Mean peak signal-to-noise ratio over what views show, in dB, on the field's background."""
    poses = views.T_norm_cam[:max_views]
    device = field.aabb.device
    target = views.on_background(BACKGROUND_COLORS[field.background])[:max_views].to(device)
    seen = views.seen[:max_views].to(device)
    error = ((field.render(poses.to(device), views.camera).rgb - target) ** 2).mean(dim=-1) * seen
    mean = error.sum(dim=(1, 2)) / seen.sum(dim=(1, 2)).clamp_min(1)
    return float(-10 * torch.log10(mean).mean())
