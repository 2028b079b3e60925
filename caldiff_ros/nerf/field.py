# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the rest of the package asks of a radiance field, and rendering with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose

#: Colour behind the scene; photographs ('none') have nothing behind them and render on black.
BACKGROUND_COLORS = {'white': 1.0, 'black': 0.0, 'none': 0.0}


@dataclass(frozen=True)
class Rendering:
    """What a field shows along N rays.

    Attributes:
        rgb: colours in 0..1, (N, 3), composited on the field's background.
        depth: expected ray parameter t, (N,); with directions of z = 1 in the camera frame this is
            the z-depth in normalized units. 0 where the ray hits nothing.
        opacity: 0..1, (N,).
    """

    rgb: Tensor
    depth: Tensor
    opacity: Tensor

    @classmethod
    def cat(cls, parts: Sequence[Rendering]) -> Rendering:
        """Concatenate along the first dimension."""
        return cls(
            torch.cat([part.rgb for part in parts]),
            torch.cat([part.depth for part in parts]),
            torch.cat([part.opacity for part in parts]),
        )

    def __getitem__(self, index) -> Rendering:
        return Rendering(self.rgb[index], self.depth[index], self.opacity[index])


class RadianceField(Protocol):
    """A scene in normalized coordinates that renders along rays.

    Differentiable with respect to the rays, and to its parameters where they require gradients.
    """

    kind: str
    background: str
    aabb: Tensor

    def render(self, origins: Tensor, directions: Tensor, sampling: float = 1.0) -> Rendering:
        """Render rays ``origins + t * directions``, both (N, 3) in normalized coordinates.

        Directions need no unit norm; depth is measured in t. ``sampling`` is how many times as many
        samples a ray gets as in training; a field that places its samples itself may ignore it.
        """
        ...


def render_in_parts(
    render: Callable[[Tensor, Tensor], Rendering],
    origins: Tensor,
    directions: Tensor,
    rays_at_once: int,
) -> Rendering:
    """What ``render`` shows along rays (N, 3), ``rays_at_once`` of them at a time."""
    parts = zip(origins.split(rays_at_once), directions.split(rays_at_once), strict=True)
    return Rendering.cat([render(*part) for part in parts])


def pixel_directions(camera: Camera, device: torch.device | str = 'cpu') -> Tensor:
    """Directions (height * width, 3) float32 of all pixels in the camera frame, z = 1."""
    return torch.from_numpy(camera.pixel_directions()).to(device, torch.float32)


def render_directions(
    field: RadianceField, T_norm_cam: Pose, directions_cam: Tensor, sampling: float = 1.0
) -> Rendering:
    """Render directions (..., K, 3) of the camera frame from poses with batch shape (B,).

    ``directions_cam`` is shared by the poses, (K, 3), or given for each, (B, K, 3).

    Returns:
        A rendering with shapes (B, K, 3), (B, K), (B, K).
    """
    directions = directions_cam @ T_norm_cam.R.transpose(-1, -2)
    origins = T_norm_cam.t[:, None].expand_as(directions)
    out = field.render(origins.reshape(-1, 3), directions.reshape(-1, 3), sampling)
    shape = directions.shape[:-1]
    return Rendering(out.rgb.view(*shape, 3), out.depth.view(shape), out.opacity.view(shape))


@torch.no_grad()
def render_images(
    field: RadianceField,
    T_norm_cam: Pose,
    camera: Camera,
    sampling: float = 1.0,
    max_rays: int = 1 << 16,
) -> Rendering:
    """Render whole images of ``camera`` from poses (B,), without gradients, in bounded memory.

    ``sampling`` as in `RadianceField.render`.

    Returns:
        A rendering with shapes (B, height, width, 3), (B, height, width), (B, height, width).
    """
    directions = pixel_directions(camera, T_norm_cam.t.device)
    poses_at_once = max(1, max_rays // len(directions))
    out = Rendering.cat(
        [
            render_directions(field, T_norm_cam[i : i + poses_at_once], directions, sampling)
            for i in range(0, len(T_norm_cam), poses_at_once)
        ]
    )
    shape = (len(T_norm_cam), camera.height, camera.width)
    return Rendering(out.rgb.view(*shape, 3), out.depth.view(shape), out.opacity.view(shape))
