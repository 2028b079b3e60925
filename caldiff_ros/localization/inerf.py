# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""iNeRF: poses by gradient descent on the photometric error (sections 3.7 and 3.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.errors import CaldiffError
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
    """Radius around a keypoint within which pixels belong to the region."""


@dataclass(frozen=True, kw_only=True)
class InverseProblem:
    """What iNeRF inverts.

    Attributes:
        field: the field.
        query: the image.
        region: indices (S,) of the pixels to draw from.
        generator: draws the pixels, the same for all poses.
    """

    field: RadianceField
    query: Query
    region: Tensor
    generator: torch.Generator

    def photometric_error(self, T_norm_cam: Pose, n_pixels: int) -> Tensor:
        """Equation 5 on ``n_pixels`` random pixels, or on all if there are fewer, (P,)."""
        region = self.region
        pick = torch.randint(len(region), (n_pixels,), generator=self.generator)
        pixels = region[pick.to(region.device)] if n_pixels < len(region) else region
        return self.query.mean_squared_difference(self.field, T_norm_cam, pixels)


def inerf(
    problem: InverseProblem,
    T_norm_cam: Pose,
    config: InerfConfig,
    on_step: Callable[[int, Pose], None] = lambda step, poses: None,
) -> Pose:
    """Refine poses (P,) together.

    The pose moves on SO(3) x R^3 about the camera's own centre, from where it starts: on SE(3)
    a turn would shift the camera.

    Args:
        problem: field, image and pixels.
        T_norm_cam: start poses (P,).
        config: how.
        on_step: called with the step's number, from 1, and the poses.

    Raises:
        CaldiffError: if the field has no gradients.
    """
    if not problem.field.differentiable:
        raise CaldiffError(
            f'a {problem.field.kind} field has no gradients with respect to poses, which iNeRF '
            'needs; use the preset fast or accurate'
        )

    delta = torch.zeros(len(T_norm_cam), 6, device=T_norm_cam.t.device, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=config.learning_rate)

    for step in range(config.steps):
        error = problem.photometric_error(T_norm_cam.retract(delta), config.pixels)
        optimizer.zero_grad()
        error.sum().backward()
        optimizer.step()
        on_step(step + 1, T_norm_cam.retract(delta.detach()))

    return T_norm_cam.retract(delta.detach())
