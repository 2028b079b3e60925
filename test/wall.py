# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A scene with closed-form renders: a patterned wall z = 0 seen by cameras in front of it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.field import RayField, Rendering

CAMERA = Camera(100, 80, 110.0, 110.0, 50.0, 40.0)
#: 0.5 from the wall, looking at it from the side: facing it, turns and shifts would look alike.
VIEW = Pose(torch.eye(3)[None], torch.zeros(1, 3)).retract(torch.tensor([[0, 0, 0, 0.5, 0.4, 0]]))
VIEW = Pose(VIEW.R, -0.5 * VIEW.R[..., 2])


class Wall(RayField):
    """A radiance field; cubic interpolation of random colours on a grid of cells."""

    kind = 'wall'
    background = 'none'
    aabb = torch.tensor([[-0.5, -0.5, -0.01], [0.5, 0.5, 0.01]])

    def __init__(self, cells: int = 40, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        pattern = torch.from_numpy(rng.uniform(0, 1, (1, 3, cells, cells))).float()
        self.texture = F.interpolate(
            pattern, scale_factor=16, mode='bicubic', align_corners=True
        ).clamp(0, 1)

    def render_rays(self, origins: Tensor, directions: Tensor) -> Rendering:
        depth = -origins[:, 2] / directions[:, 2]
        hit = (origins + depth[:, None] * directions)[:, :2]
        # the wall spans -1..1
        rgb = F.grid_sample(self.texture, hit[None, None], align_corners=True)[0, :, 0].T
        return Rendering(rgb, depth, torch.ones_like(depth))


def moved(pose: Pose, distance: float, angle_deg: float, seed: int, n: int = 1) -> Pose:
    """Poses (n,) off by ``distance`` and ``angle_deg`` in random directions."""
    noise = torch.randn(n, 2, 3, generator=torch.Generator().manual_seed(seed))
    delta = F.normalize(noise, dim=-1)
    delta[:, 0] *= distance
    delta[:, 1] *= np.radians(angle_deg)
    return pose.retract(delta.flatten(1))


def photograph(field, pose, camera) -> Query:
    """The query that a camera at ``pose`` (1,) takes of any field."""
    rgb = field.render(pose, camera).rgb[0]
    image = (rgb.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    seen = np.ones(image.shape[:2], bool)
    return Query(image, seen, camera, torch.device('cpu'))
