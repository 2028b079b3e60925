# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The query image as every stage needs it, and how well a pose explains it."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization import comparison_kernels
from caldiff_ros.localization.comparison_kernels import (
    CONTRAST,
    GAINS,
    OFFSETS,
    REWEIGHTINGS,
    ROBUST_SCALE,
    WHITE,
)
from caldiff_ros.nerf.field import RadianceField, pixel_directions, pose_batches
from caldiff_ros.parallel import in_parallel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Query:
    """An image to localize, as the map's camera would have seen it.

    Attributes:
        image: uint8 RGB (H, W, 3).
        seen: pixels that the query's camera covered, bool (H, W).
        camera: the map's camera, without distortion.
        device: where tensors live.
        affine_exposure: whether brightness and white balance may differ from the map's; renders
            are brought as near to the image as a gain and an offset per colour can before they
            are compared.
        robust_scale: colour difference (0..1) beyond which a pixel counts less in the photometric
            error; None takes the squared difference of every pixel (equation 5).
        detailed: the same image with more pixels, uint8 RGB, for its features; None without.
    """

    image: np.ndarray
    seen: np.ndarray
    camera: Camera
    device: torch.device
    affine_exposure: bool = False
    robust_scale: float | None = None
    detailed: np.ndarray | None = None

    @cached_property
    def rgb(self) -> Tensor:
        """Colours in 0..1, (H, W, 3)."""
        return torch.from_numpy(self.image).to(self.device).float() / 255

    @cached_property
    def directions(self) -> Tensor:
        """Directions (H * W, 3) of all pixels in the camera frame, z = 1."""
        return pixel_directions(self.camera, self.device)

    @cached_property
    def seen_pixels(self) -> Tensor:
        """Indices (S,) of the pixels that the query's camera covered, row by row."""
        return torch.from_numpy(np.flatnonzero(self.seen)).to(self.device)

    def level(self, longer_side: int) -> Query:
        """The same query with its longer side reduced to ``longer_side`` pixels, by area."""
        factor = max(self.camera.width, self.camera.height) / longer_side
        if factor <= 1:
            return self

        camera = self.camera.downscaled(factor)
        size = (camera.width, camera.height)
        image = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
        share = cv2.resize(self.seen.astype(np.float32), size, interpolation=cv2.INTER_AREA)

        return replace(self, image=image, seen=share > 0.99, camera=camera)

    def keypoint_region(self, n_keypoints: int = 100, radius_px: int = 5) -> Tensor:
        """Indices (S,) of the pixels near SIFT keypoints (section 4.2); all if there are none.

        The contrast threshold is next to zero, so that faint texture gives keypoints as well.
        """
        gray = cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY)
        sift = cv2.SIFT.create(nfeatures=n_keypoints, contrastThreshold=1e-4)
        height, width = self.seen.shape
        mask = np.zeros((height, width), np.uint8)

        for keypoint in sift.detect(gray, self.seen.astype(np.uint8) * 255)[:n_keypoints]:
            u, v = keypoint.pt
            mask[min(round(v), height - 1), min(round(u), width - 1)] = 255

        around = cv2.dilate(mask, np.ones((2 * radius_px + 1,) * 2, np.uint8)) > 0
        pixels = np.flatnonzero(around & self.seen)
        return torch.from_numpy(pixels).to(self.device) if len(pixels) else self.seen_pixels

    def mean_squared_difference(
        self, field: RadianceField, T_norm_cam: Pose, pixels: Tensor
    ) -> Tensor:
        """Mean squared colour difference at ``pixels`` (S,) from poses (P,), equation 5: (P,).

        Differentiable with respect to the poses.
        """
        rgb = field.render_pixels(T_norm_cam, self.camera, pixels).rgb
        return self.squared_differences(rgb, pixels).mean(dim=(1, 2))

    def squared_differences(self, rgb: Tensor, pixels: Tensor) -> Tensor:
        """Between renders (P, S, 3) of ``pixels`` (S,) and the image, (P, S, 3)."""
        target = self.rgb.view(-1, 3)[pixels]
        return (self.exposed(rgb, target) - target) ** 2

    def exposed(self, rgb: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Renders (P, S, 3) with the exposure of the image, if that may differ.

        Args:
            rgb: rendered colours.
            target: colours of the image at the same pixels, (S, 3).
            weight: of the pixels, (S, 1); default, all the same.
        """
        if not self.affine_exposure:
            return rgb

        gain, offset = fit_exposure(rgb.detach(), target, weight)
        return (gain * rgb + offset).clamp(0, 1)

    @torch.no_grad()
    def photometric_error(self, field: RadianceField, T_norm_cam: Pose) -> Tensor:
        """Photometric error over all seen pixels from poses (P,), see `error_of`: (P,)."""
        errors = []
        for poses in pose_batches(T_norm_cam, len(self.seen_pixels)):
            rgb = field.render_pixels(poses, self.camera, self.seen_pixels).rgb
            if rgb.is_cpu:
                errors.append(self._compiled_errors(rgb))
            else:
                squared = self.squared_differences(rgb, self.seen_pixels)
                errors.append(error_of(squared, self.robust_scale))

        return torch.cat(errors)

    def _compiled_errors(self, rgb: Tensor) -> Tensor:
        """Photometric errors of the seen pixels (P, S, 3), (P,); on a CPU."""
        target = self.rgb.view(-1, 3)[self.seen_pixels].numpy()
        parts = [
            (image, target, self.affine_exposure, self.robust_scale or 0.0)
            for image in rgb.contiguous().numpy()
        ]
        error = comparison_kernels.photometric_error
        return torch.tensor(in_parallel(error, parts, torch.get_num_threads())).to(rgb)


def error_of(squared: Tensor, robust_scale: float | None) -> Tensor:
    """Photometric error (P,) from squared differences of colours (P, S, 3).

    Their mean (equation 5). With a ``robust_scale`` no pixel adds more than a third of its square:
    what stands in front of the scene differs from the render at the right pose, and would prefer
    wrong ones that happen to have its colour there.
    """
    if robust_scale is None:
        return squared.mean(dim=(1, 2))

    return robust_loss(squared.sum(-1), robust_scale).mean(-1) / 3


def fit_exposure(
    rgb: Tensor, target: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Gain and offset, (P, 1, 3) each, that bring renders (P, S, 3) nearest to colours (S, 3).

    Robust: pixels that differ much from what the others say count little, and what is burnt out or
    black and expected to be says nothing. Bounded, and drawn to gain 1 where there is next to no
    contrast: otherwise a flat wrong view could imitate anything.
    """
    given = torch.ones_like(target[:, :1]) if weight is None else weight
    if rgb.is_cpu:
        return _compiled_exposure(rgb, target, given)

    kernels = gpu_kernels(rgb.device)
    if kernels is not None:
        return kernels.fit_exposure(rgb, target, given[:, 0]).unbind(1)

    return fit_exposure_by_tensors(rgb, target, given)


def _compiled_exposure(rgb: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """See `fit_exposure`; on a CPU."""
    arrays = [values.detach().contiguous().numpy() for values in (rgb, target, weight[:, 0])]
    exposure = np.ones((2, len(rgb), 3), arrays[0].dtype)
    parts = [(pose, *arrays[1:], *exposure[:, i]) for i, pose in enumerate(arrays[0])]
    in_parallel(comparison_kernels.fit_exposure, parts, torch.get_num_threads())
    gain, offset = torch.from_numpy(exposure)[:, :, None]
    return gain, offset


def fit_exposure_by_tensors(rgb: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """See `fit_exposure`; where nothing can be compiled."""
    gain, offset = _least_squares_exposure(rgb, target, weight[None])

    for _ in range(REWEIGHTINGS):
        exposed = gain * rgb + offset
        clipped = (exposed >= 1) & (target >= WHITE) | (exposed <= 0) & (target <= 1 - WHITE)
        squared = ((exposed.clamp(0, 1) - target) ** 2).sum(-1, keepdim=True)
        robust = robust_weight(squared, ROBUST_SCALE)
        gain, offset = _least_squares_exposure(rgb, target, weight * robust * ~clipped)

    return gain, offset


def _least_squares_exposure(rgb: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """See `fit_exposure`; weights are (P or 1, S, 3 or 1)."""
    w = weight / weight.sum(1, keepdim=True).clamp_min(1e-9)
    rgb_mean, target_mean = (w * rgb).sum(1, keepdim=True), (w * target).sum(1, keepdim=True)
    centered = rgb - rgb_mean
    variance = (w * centered**2).sum(1, keepdim=True)
    covariance = (w * centered * (target - target_mean)).sum(1, keepdim=True)
    gain = (covariance + CONTRAST) / (variance + CONTRAST)
    gain = gain.clamp(*GAINS)

    return gain, (target_mean - gain * rgb_mean).clamp(*OFFSETS)


@functools.cache
def gpu_kernels(device: torch.device) -> ModuleType | None:
    """`gpu_comparison`, if Triton can be had and compiles it; else None, and PyTorch takes longer.

    It comes with PyTorch for CUDA on Linux, and needs a C compiler.
    """
    try:
        from caldiff_ros.localization import gpu_comparison

        grey = torch.full((1, 4, 3), 0.5, device=device)
        gpu_comparison.fit_exposure(grey, grey[0], grey[0, :, 0])
    except Exception as error:  # a compiler's errors are of any kind
        logger.warning('Images are compared by PyTorch: Triton is of no use here (%s)', error)
        return None

    return gpu_comparison


def robust_loss(squared: Tensor, scale: float) -> Tensor:
    """Geman-McClure's loss of squared colour differences: theirs if small, at most ``scale``²."""
    return scale**2 * squared / (scale**2 + squared)


def robust_weight(squared: Tensor, scale: float) -> Tensor:
    """Geman-McClure's weight of squared colour differences: 1 for none, 1/4 at ``scale``."""
    return (scale**2 / (scale**2 + squared)) ** 2


@functools.lru_cache(maxsize=32)
def blur_kernel(sigma_px: float, device: torch.device | str = 'cpu') -> Tensor:
    """One axis of `blurred`'s kernel, (5,); shared: it must not be written to."""
    kernel = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / (2 * sigma_px**2))
    return (kernel / kernel.sum()).to(device)


def blurred(images: Tensor, sigma_px: float) -> Tensor:
    """Images (B, H, W, C) blurred by a 5 x 5 Gaussian, borders repeated; by none if that is 0."""
    if sigma_px == 0:
        return images

    kernel = blur_kernel(sigma_px, images.device).to(images)
    planes = images.permute(0, 3, 1, 2)
    B, C, H, W = planes.shape
    flat = F.pad(planes.reshape(B * C, 1, H, W), (2, 2, 2, 2), mode='replicate')
    flat = F.conv2d(F.conv2d(flat, kernel.view(1, 1, 5, 1)), kernel.view(1, 1, 1, 5))

    return flat.view(B, C, H, W).permute(0, 2, 3, 1)
