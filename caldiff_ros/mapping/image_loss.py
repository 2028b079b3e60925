# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How much an image differs from another: L1 and structural similarity, as 3DGS mixes them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caldiff_ros.compiling import compiled
from caldiff_ros.parallel import in_parallel, ranges

#: Window of the structural similarity (Wang et al. 2004): standard deviation and reach in pixels,
#: and the constants for colours in 0..1.
_SIGMA, _REACH = 1.5, 5
_C1, _C2 = 0.01**2, 0.03**2


def image_loss(image: Tensor, target: Tensor, weight: Tensor, ssim_weight: float) -> Tensor:
    """Mean difference of images (H, W, 3), weighted pixel by pixel (H, W).

    (1 - ssim_weight) L1 + ssim_weight (1 - SSIM). On a CPU the gradient is computed with it, five
    times as fast as PyTorch's.
    """
    if image.device.type == 'cpu':
        return _ImageLoss.apply(image, target, weight, ssim_weight)

    total = weight.sum().clamp_min(1)
    absolute = ((image - target).abs() * weight[..., None]).sum() / (3 * total)
    dissimilar = ((1 - ssim(image, target)) * weight[..., None]).sum() / (3 * total)
    return (1 - ssim_weight) * absolute + ssim_weight * dissimilar


@functools.cache
def _window() -> Tensor:
    x = torch.arange(-_REACH, _REACH + 1.0)
    window = torch.exp(-(x**2) / (2 * _SIGMA**2))
    return window / window.sum()


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Structural similarity around each pixel and channel of images (H, W, 3): (H, W, 3)."""
    both = torch.cat([image, target, image * image, target * target, image * target], dim=-1)
    planes = both.permute(2, 0, 1)[None]
    window = _window().to(image).expand(15, 1, -1)
    planes = F.conv2d(planes, window[..., None], padding=(_REACH, 0), groups=15)
    planes = F.conv2d(planes, window[..., None, :], padding=(0, _REACH), groups=15)
    mean, mean_target, square, square_target, product = planes[0].permute(1, 2, 0).split(3, dim=-1)

    variance, variance_target = square - mean * mean, square_target - mean_target * mean_target
    covariance = product - mean * mean_target
    return ((2 * mean * mean_target + _C1) * (2 * covariance + _C2)) / (
        (mean * mean + mean_target * mean_target + _C1) * (variance + variance_target + _C2)
    )


class _ImageLoss(torch.autograd.Function):
    """`image_loss` on a CPU."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, target: Tensor, weight: Tensor, ssim_weight: float
    ) -> Tensor:
        """See `image_loss`."""
        x, y = image.detach().contiguous().numpy(), target.detach().contiguous().numpy()
        w = weight.detach().contiguous().numpy()
        share = 1 / (3 * max(1.0, float(w.sum())))
        n_threads = torch.get_num_threads()
        rows = ranges(len(x), n_threads)

        def blurred(images: Iterable[np.ndarray]) -> tuple[np.ndarray, ...]:
            return tuple(in_parallel(_blurred, [(each,) for each in images], n_threads))

        products = np.empty((3, *x.shape), x.dtype)
        in_parallel(_products, [(part, x, y, products) for part in rows], n_threads)
        moments = blurred((x, y, *products))

        by_moments = np.empty((3, *x.shape), x.dtype)
        scale = ssim_weight * share
        dissimilar = in_parallel(
            _dissimilarity, [(part, moments, w, scale, by_moments) for part in rows], n_threads
        )

        gradient = np.empty_like(x)
        scale, pulls = (1 - ssim_weight) * share, blurred(by_moments)
        absolute = in_parallel(
            _total_gradient, [(part, (x, y), w, pulls, scale, gradient) for part in rows], n_threads
        )

        ctx.save_for_backward(torch.from_numpy(gradient))
        return image.new_tensor(sum(absolute) + sum(dissimilar))

    @staticmethod
    def backward(ctx: Any, by_loss: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient to the image."""
        (gradient,) = ctx.saved_tensors
        return by_loss * gradient, None, None, None


def _blurred(values: np.ndarray) -> np.ndarray:
    """(H, W, 3) blurred by the window, with zeros around it, so that it is its own transpose."""
    window = _window().numpy().astype(values.dtype)
    return cv2.sepFilter2D(values, -1, window, window, borderType=cv2.BORDER_CONSTANT)


@compiled
def _products(rows, x, y, products):
    """Write x squared, x times y and y squared of images (H, W, 3), from one row to another."""
    for i in range(rows[0], rows[1]):
        for j in range(x.shape[1]):
            for k in range(3):
                products[0, i, j, k] = x[i, j, k] * x[i, j, k]
                products[1, i, j, k] = x[i, j, k] * y[i, j, k]
                products[2, i, j, k] = y[i, j, k] * y[i, j, k]


@compiled
def _dissimilarity(rows, moments, weight, share, by_moments):
    """Sum of ``share`` times the weighted dissimilarity, and its gradients.

    Args:
        rows: first row, and the one after the last.
        moments: blurred x, y, x squared, x times y, y squared, (H, W, 3) each.
        weight: of the pixels, (H, W).
        share: of each value.
        by_moments: gradients to blurred x, x squared and x times y, written to, (3, H, W, 3).
    """
    mean, mean_y, square, product, square_y = moments
    real = mean.dtype.type
    c1, c2, one, two = real(_C1), real(_C2), real(1), real(2)
    total = 0.0

    for i in range(rows[0], rows[1]):
        for j in range(mean.shape[1]):
            scale = real(share) * weight[i, j]
            for k in range(3):
                m, n = mean[i, j, k], mean_y[i, j, k]
                variance = square[i, j, k] - m * m + square_y[i, j, k] - n * n + c2
                a1, a2 = two * m * n + c1, two * (product[i, j, k] - m * n) + c2
                b1 = m * m + n * n + c1
                inverse = one / (b1 * variance)
                similarity = a1 * a2 * inverse
                total += scale * (one - similarity)
                by_mean = two * n * (a2 - a1) * inverse
                by_mean -= two * m * similarity * (one / b1 - one / variance)
                by_moments[0, i, j, k] = -scale * by_mean
                by_moments[1, i, j, k] = scale * similarity / variance
                by_moments[2, i, j, k] = -scale * two * a1 * inverse

    return total


@compiled
def _total_gradient(rows, images, weight, by_moments, share, gradient):
    """Sum of ``share`` times the weighted absolute difference; write the gradient of the loss.

    Args:
        rows: first row, and the one after the last.
        images: x and y, (H, W, 3).
        weight: of the pixels, (H, W).
        by_moments: blurred gradients, see `_dissimilarity`.
        share: of each value.
        gradient: to x, written to, (H, W, 3).
    """
    x, y = images
    by_mean, by_square, by_product = by_moments
    real = x.dtype.type
    two = real(2)
    total = 0.0

    for i in range(rows[0], rows[1]):
        for j in range(x.shape[1]):
            scale = real(share) * weight[i, j]
            for k in range(3):
                difference = x[i, j, k] - y[i, j, k]
                total += scale * abs(difference)
                gradient[i, j, k] = (
                    scale * np.sign(difference)
                    + by_mean[i, j, k]
                    + two * x[i, j, k] * by_square[i, j, k]
                    + y[i, j, k] * by_product[i, j, k]
                )

    return total
