# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which Gaussians the training views see, and which are hidden behind others."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.geometry.pose import rotation_matrix
from caldiff_ros.nerf.gaussians import GaussianField
from caldiff_ros.nerf.gpu_splatting import GaussianTensors
from caldiff_ros.nerf.splat_kernels import SH0
from caldiff_ros.nerf.splatting import splat


def visible_shares(field: GaussianField, cameras: Pose, camera: Camera) -> Tensor:
    """How much of each Gaussian is seen by the view that sees most of it, (N,), 0 to 1.

    That is the sum over the pixels of its weight in the blend, over what that sum would be if
    nothing stood in front of it.

    Args:
        field: the Gaussians.
        cameras: T_norm_cam of the views (V,).
        camera: their intrinsics.
    """
    gaussians = GaussianTensors(*(tensor.detach() for tensor in field.gaussians))
    most = gaussians.opacities.new_zeros(len(gaussians.means))

    for i in range(len(cameras)):
        pose = cameras[i : i + 1].to(most.device)
        weights = seen_weights(field, pose, camera)
        share = weights / unhidden_weights(gaussians, pose, camera)
        most = torch.maximum(most, share.nan_to_num(0))

    return most.clamp_max(1)


def seen_weights(field: GaussianField, pose: Pose, camera: Camera) -> Tensor:
    """Sum over the pixels of each Gaussian's weight in the image from a pose (1,), (N,)."""
    gaussians = GaussianTensors(*(tensor.detach() for tensor in field.gaussians))
    # a colour's gradient is the sum of the weights with which it enters the image
    grey = torch.zeros_like(gaussians.harmonics[:, :1]).requires_grad_()
    with torch.enable_grad():
        shown = splat(gaussians._replace(harmonics=grey), pose, field.seen_with(camera))
        (weights,) = torch.autograd.grad(shown[..., 0].sum(), grey)

    return weights[:, 0, 0] / SH0


def unhidden_weights(gaussians: GaussianTensors, pose: Pose, camera: Camera) -> Tensor:
    """Sum of the opacities with which Gaussians cover an endless image from a pose (1,), (N,).

    The integral of a Gaussian over the image plane is 2 pi times the root of its covariance's
    determinant, and det(J S J^T) = fx^2 fy^2 / z^4 det(S) r^T S^-1 r for a ray r with z = 1. An
    image's filter leaves it as it is: it blurs a Gaussian and takes as much of its opacity.
    """
    offset = (gaussians.means - pose.t) @ pose.R[0]
    z = offset[:, 2].clamp_min(1e-6)
    ray = (offset / z[:, None]) @ pose.R[0].T
    axes = rotation_matrix(gaussians.quaternions)
    along = (axes.transpose(1, 2) @ ray[..., None])[..., 0]
    thickness = (along / gaussians.scales).norm(dim=-1)
    area = camera.fx * camera.fy / z**2 * gaussians.scales.prod(-1) * thickness

    return 2 * math.pi * gaussians.opacities * area
