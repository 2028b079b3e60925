# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A field made of the Gaussians of a splat file."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, Normalization, Pose
from caldiff_ros.mapping.bounds import box_around
from caldiff_ros.mapping.gaussian_growth import nearest_distances
from caldiff_ros.mapping.gaussian_training import nearest_plane
from caldiff_ros.mapping.starting_points import point_depths
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField
from caldiff_ros.splats.splat import Splat
from caldiff_ros.wording import counted

#: Centres of opaque Gaussians beyond this share at each end of an axis are no part of the scene:
#: skies have some.
_OUTLIERS_PERCENT = 2.0
#: Maximum number of Gaussians whose depths determine the free space.
_MOST_POINTS = 100_000


def scaled_to_norm(normalization: Normalization) -> np.ndarray:
    """Similarity (4, 4) from the coordinates of training poses to normalized ones."""
    S = np.eye(4)
    S[:3, :3] /= normalization.side
    S[:3, 3] = -np.array(normalization.center) / normalization.side
    return S


def splat_box(splat: Splat) -> Tensor:
    """Box around most of what is opaque, or else around most of all, (2, 3)."""
    opaque = splat.logits > 0
    means = splat.means[opaque] if opaque.any() else splat.means
    return box_around(torch.from_numpy(means), _OUTLIERS_PERCENT)


def field_of_splat(
    splat: Splat, cameras: Pose, camera: Camera, background: str, focal_px: float
) -> GaussianField:
    """The Gaussians of a splat as a field, frozen.

    Args:
        splat: in normalized coordinates.
        cameras: that are in the scene, T_norm_cam (V,).
        camera: their intrinsics.
        background: 'white', 'black' or 'none'.
        focal_px: focal length of the images that it was trained on.

    Raises:
        CaldiffError: if no Gaussian lies in front of any camera.
    """
    means = torch.from_numpy(splat.means)
    some = means[:: 1 + len(means) // _MOST_POINTS]
    depths = point_depths(some, cameras, camera)
    if len(depths) == 0:
        raise CaldiffError(
            f'none of {counted(len(splat), "Gaussian")} of the splat lies in front of any of '
            f'{counted(len(cameras), "camera")}, expected a splat in the frame of their poses; '
            'give the images it was trained on, or --transform'
        )

    box = splat_box(splat)
    aabb = torch.stack(
        [torch.minimum(box[0], cameras.t.amin(0)), torch.maximum(box[1], cameras.t.amax(0))]
    )
    distances = nearest_distances(means, cameras)
    return bare_field(splat, (aabb, background), focal_px, nearest_plane(depths), distances)


def bare_field(
    splat: Splat, scene: tuple[Tensor, str], focal_px: float, near: float, distances: Tensor
) -> GaussianField:
    """The Gaussians of a splat, whose anti-aliasing is none where it is not known.

    Args:
        splat: in the coordinates of the field.
        scene: its box (2, 3), and the background.
        focal_px: focal length of the images that it was trained on.
        near: z-depth in front of a camera where nothing can be.
        distances: see `GaussianField`.
    """
    config = GaussianConfig(
        count=len(splat),
        sh_degree=splat.sh_degree,
        near=near,
        focal_px=focal_px,
        antialiased=bool(splat.antialiased),
    )
    field = GaussianField(config, *scene)
    field.load_state_dict(
        {
            'aabb': scene[0],
            'means': torch.from_numpy(splat.means),
            'log_scales': torch.from_numpy(splat.log_scales),
            'quaternions': torch.from_numpy(splat.quaternions),
            'logits': torch.from_numpy(splat.logits),
            'harmonics': torch.from_numpy(np.ascontiguousarray(splat.harmonics)),
            'distances': distances,
        }
    )
    return field.requires_grad_(False).eval()
