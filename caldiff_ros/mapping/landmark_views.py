# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The landmarks of a map, from what its training images share, or from views rendered there."""

from __future__ import annotations

import numpy as np
import torch

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.features import detect
from caldiff_ros.localization.landmarks import Landmarks
from caldiff_ros.localization.matching import MatchingConfig, lifted
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.rendered_views import RADIAN
from caldiff_ros.mapping.tracks import Tracks
from caldiff_ros.nerf.field import RadianceField

#: Rendered views, at most, and features of each.
_VIEWS, _FEATURES = 64, 500
#: Training images, at most, and features of each: they are more exact than rendered ones.
_IMAGES, _OF_IMAGE = 128, 1000
#: A point that fewer images show is often a wrong one.
_LEAST_IMAGES = 3


def have_landmarks(camera: Camera) -> bool:
    """Whether images are large enough to have many features."""
    return max(camera.width, camera.height) >= MatchingConfig().always_from


def landmarks_of_tracks(tracks: Tracks, images: torch.Tensor | None = None) -> Landmarks:
    """Features of training images that at least three of them share.

    Of an image with too many of them those are taken that most images show.

    Args:
        tracks: what the images share.
        images: which of them may be used, bool (V,); None for all.
    """
    usable = torch.arange(len(tracks.posed.poses))
    usable = usable if images is None else usable[images]
    count = torch.bincount(tracks.point, minlength=len(tracks.xyz))[tracks.point]
    views = []

    for image in usable[spread_out(tracks.posed.poses[usable].to(torch.float32), _IMAGES)]:
        of_image = (tracks.features.image == image) & (count >= _LEAST_IMAGES)
        index = of_image.nonzero()[:, 0]
        index = index[count[index].argsort(descending=True, stable=True)[:_OF_IMAGE]]
        views.append((tracks.xyz[tracks.point[index]].numpy(), tracks.descriptors[index].numpy()))

    return Landmarks.of(views, max((len(xyz) for xyz, _ in views), default=0), are_exact=True)


def rendered_landmarks(
    field: RadianceField, cameras: Pose, camera: Camera, context: BuildContext
) -> Landmarks:
    """Features of views rendered from cameras (V,) that are far from each other.

    Args:
        field: what is rendered.
        cameras: the training cameras.
        camera: their intrinsics.
        context: receives the progress of 'landmarks'.
    """
    config = MatchingConfig()
    views = []
    chosen = spread_out(cameras, _VIEWS)
    for i, pose in enumerate(chosen.split(1)):
        out = field.render(cameras[pose].to(field.aabb.device), camera)
        image = out.rgb_uint8[0].cpu().numpy()
        features = detect(image, config.features)
        points, solid = lifted(features.uv, out, camera, config.min_opacity)
        in_map = cameras[int(pose)].to('cpu', torch.float64).transform(torch.from_numpy(points))
        views.append((in_map.numpy(), features.stored[solid]))
        context.progress('landmarks', i + 1, len(chosen))

    return Landmarks.of(views, _FEATURES)


def spread_out(cameras: Pose, most: int) -> torch.Tensor:
    """Indices of at most this many of cameras (V,), each the farthest from those before it."""
    cameras = cameras.to('cpu')
    nearest = torch.full((len(cameras),), np.inf)
    chosen = [0]
    while len(chosen) < min(most, len(cameras)):
        last = cameras[chosen[-1]]
        angle = torch.deg2rad(cameras.rotation_error_deg(last))
        nearest = torch.minimum(nearest, cameras.translation_error(last) + RADIAN * angle)
        chosen.append(int(nearest.argmax()))

    return torch.tensor(chosen)
