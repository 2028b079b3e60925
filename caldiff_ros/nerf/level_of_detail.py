# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussians merged for smaller images than those they were trained on.

A reduced image of many Gaussians that are smaller than its pixels is costly, and wrong: each of
them is blurred for itself, and what is left of it below the least opacity is not drawn. One
Gaussian with their moments shows the same, sooner and better.
"""

from __future__ import annotations

import roma
import torch
from torch import Tensor

from caldiff_ros.geometry.pose import rotation_matrix
from caldiff_ros.nerf.gpu_splatting import GaussianTensors

#: Least standard deviation of a merged Gaussian, normalized units, and its least and most opacity.
_LEAST_SCALE = 1e-6
_OPACITIES = (1e-4, 0.99)


@torch.no_grad()
def merged(
    gaussians: GaussianTensors, footprints: Tensor, dilations: Tensor
) -> tuple[GaussianTensors, Tensor]:
    """One Gaussian for all that lie in one cell, with their mean, covariance, colour, and mass.

    Args:
        gaussians: the Gaussians (N).
        footprints: size of a pixel at each of them, normalized units, (N,): cells are cubes of
            half to whole that size, powers of two, so that far ones are merged more than near ones.
        dilations: standard deviation that images add to each without taking opacity, (N,): what
            is merged is the mass that they show.

    Returns:
        The merged Gaussians (M), and which of them each of the others belongs to, (N,).
    """
    means, scales, quaternions, opacities, harmonics = gaussians

    # 1. Cells
    exponent = torch.floor(torch.log2(footprints))
    cell = torch.cat([torch.floor(means / torch.exp2(exponent)[:, None]), exponent[:, None]], dim=1)
    _, group = torch.unique(cell.long(), dim=0, return_inverse=True)
    n = int(group.max()) + 1 if len(group) else 0

    # 2. Mass: opacity times the area of the surface that most Gaussians have become
    added = dilations[:, None] ** 2
    mass = opacities * _area((scales**2 + added).sqrt())
    total = means.new_zeros(n).index_add(0, group, mass).clamp_min(torch.finfo(means.dtype).tiny)

    def mean(values: Tensor) -> Tensor:
        ones = [1] * (values.dim() - 1)
        sums = values.new_zeros(n, *values.shape[1:])
        sums = sums.index_add(0, group, values * mass.view(-1, *ones))
        return sums / total.view(-1, *ones)

    # 3. Moments
    axes = rotation_matrix(quaternions) * scales[:, None]
    center = mean(means)
    offset = means - center[group]
    covariance = mean(axes @ axes.transpose(1, 2) + offset[:, :, None] * offset[:, None])
    variances, R = torch.linalg.eigh(covariance)
    R = R * torch.linalg.det(R).sign()[:, None, None]
    variances = variances.clamp_min(_LEAST_SCALE**2)
    opacity = (total / _area((variances + mean(added)).sqrt())).clamp(*_OPACITIES)

    result = GaussianTensors(
        center,
        variances.sqrt(),
        roma.rotmat_to_unitquat(R)[:, [3, 0, 1, 2]],
        opacity,
        mean(harmonics),
    )
    return result, group


def _area(scales: Tensor) -> Tensor:
    """Product of the two larger standard deviations (N, 3), (N,)."""
    return scales.topk(2, dim=1).values.prod(1)
