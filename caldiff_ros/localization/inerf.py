# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""iNeRF: poses by gradient descent on the photometric error (sections 3.7 and 3.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.field import RadianceField


@dataclass(frozen=True)
class InerfConfig:
    """iNeRF with the numbers of section 4.2."""

    steps: int = 300
    """Adam steps."""
    learning_rate: float = 0.007
    """Adam's learning rate, in normalized units and radians."""
    pixels: int = 512
    """Pixels of the keypoint region rendered in a step, drawn anew each time; the paper does not
    give the number, iNeRF takes 512 to 2048 of them."""
    keypoints: int = 100
    """SIFT keypoints that mark the region."""
    radius_px: int = 5
    """Pixels so near to a keypoint belong to the region."""


def inerf(
    field: RadianceField,
    query: Query,
    T_norm_cam: Pose,
    region: Tensor,
    config: InerfConfig,
    generator: torch.Generator,
    on_step: Callable[[int, Pose], None] = lambda step, poses: None,
) -> Pose:
    """Refine poses (P,) together.

    The pose moves on SO(3) x R^3 about the camera's own centre, from where it starts: on SE(3)
    a turn would shift the camera.

    Args:
        field: the field to invert.
        query: the image.
        T_norm_cam: start poses (P,).
        region: indices (S,) of the pixels to draw from.
        config: how.
        generator: draws the pixels, the same for all poses.
        on_step: called with the step's number, from 1, and the poses.
    """
    delta = torch.zeros(len(T_norm_cam), 6, device=T_norm_cam.t.device, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=config.learning_rate)
    for step in range(config.steps):
        pick = torch.randint(len(region), (config.pixels,), generator=generator)
        pixels = region[pick.to(region.device)] if config.pixels < len(region) else region
        error = query.mean_squared_difference(field, T_norm_cam.retract(delta), pixels)
        optimizer.zero_grad()
        error.sum().backward()
        optimizer.step()
        on_step(step + 1, T_norm_cam.retract(delta.detach()))
    return T_norm_cam.retract(delta.detach())
