# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The landmarks of a map, from views rendered at training cameras."""

from __future__ import annotations

import numpy as np
import torch

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.features import detect
from caldiff_ros.localization.landmarks import Landmarks
from caldiff_ros.localization.matching import MatchingConfig, lifted
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.rendered_views import RADIAN
from caldiff_ros.nerf.field import RadianceField

#: Training cameras, at most, and features of what is rendered from each.
_VIEWS, _FEATURES = 64, 500


def build_landmarks(
    field: RadianceField, cameras: Pose, camera: Camera, context: BuildContext
) -> Landmarks | None:
    """Features of views rendered from cameras (V,) that are far from each other.

    Args:
        field: what is rendered.
        cameras: the training cameras.
        camera: their intrinsics.
        context: receives the progress of 'landmarks'.

    Returns:
        None for images that are too small to have many.
    """
    config = MatchingConfig()
    if max(camera.width, camera.height) < config.always_from:
        return None

    views = []
    chosen = spread_out(cameras, _VIEWS)
    for i, pose in enumerate(chosen.split(1)):
        out = field.render(cameras[pose].to(field.aabb.device), camera)
        image = out.rgb_uint8[0].cpu().numpy()
        features = detect(image, config.features)
        points, solid = lifted(features.uv, out, camera, config.min_opacity)
        in_map = cameras[int(pose)].to('cpu', torch.float64).transform(torch.from_numpy(points))
        views.append((in_map.numpy(), features.descriptors[solid]))
        context.progress('landmarks', i + 1, len(chosen))

    return Landmarks.of(views, _FEATURES)


def spread_out(cameras: Pose, most: int) -> torch.Tensor:
    """Indices of at most so many of cameras (V,), each the farthest from those before it."""
    cameras = cameras.to('cpu')
    nearest = torch.full((len(cameras),), np.inf)
    chosen = [0]
    while len(chosen) < min(most, len(cameras)):
        last = cameras[chosen[-1]]
        angle = torch.deg2rad(cameras.rotation_error_deg(last))
        nearest = torch.minimum(nearest, cameras.translation_error(last) + RADIAN * angle)
        chosen.append(int(nearest.argmax()))

    return torch.tensor(chosen)
