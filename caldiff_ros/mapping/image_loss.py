# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How much an image differs from another: L1 and structural similarity, as 3DGS mixes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Window of the structural similarity (Wang et al. 2004): standard deviation and reach in pixels,
#: and the constants for colours in 0..1.
_SIGMA, _REACH = 1.5, 5
_C1, _C2 = 0.01**2, 0.03**2


def image_loss(image: Tensor, target: Tensor, weight: Tensor, ssim_weight: float) -> Tensor:
    """Mean difference of images (H, W, 3), weighted pixel by pixel (H, W).

    (1 - ssim_weight) L1 + ssim_weight (1 - SSIM).
    """
    total = weight.sum().clamp_min(1)
    absolute = ((image - target).abs() * weight[..., None]).sum() / (3 * total)
    dissimilar = ((1 - ssim(image, target)) * weight[..., None]).sum() / (3 * total)
    return (1 - ssim_weight) * absolute + ssim_weight * dissimilar


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Structural similarity around each pixel and channel of images (H, W, 3): (H, W, 3)."""
    both = torch.cat([image, target, image * image, target * target, image * target], dim=-1)
    # in this layout, one channel at a time is fast
    planes = both.permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)
    x = torch.arange(-_REACH, _REACH + 1, device=image.device, dtype=image.dtype)
    window = torch.exp(-(x**2) / (2 * _SIGMA**2))
    window = (window / window.sum()).expand(15, 1, -1)
    planes = F.conv2d(planes, window[..., None], padding=(_REACH, 0), groups=15)
    planes = F.conv2d(planes, window[..., None, :], padding=(0, _REACH), groups=15)
    mean, mean_target, square, square_target, product = planes[0].permute(1, 2, 0).split(3, dim=-1)

    variance, variance_target = square - mean * mean, square_target - mean_target * mean_target
    covariance = product - mean * mean_target
    return ((2 * mean * mean_target + _C1) * (2 * covariance + _C2)) / (
        (mean * mean + mean_target * mean_target + _C1) * (variance + variance_target + _C2)
    )
