# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Radiance field of anti-aliased 3D Gaussians (arXiv 2308.04079, 2311.16493)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf.field import (
    BACKGROUND_COLORS,
    BeforePart,
    Rendering,
    pose_batches,
    render_on,
)
from caldiff_ros.nerf.gpu_splatting import GaussianTensors
from caldiff_ros.nerf.level_of_detail import merged
from caldiff_ros.nerf.splatting import gpu_rasterizer, splat
from caldiff_ros.wording import counted

#: Images smaller than those of the training by this factor are those of merged Gaussians, and how
#: many sizes these are merged for per halving of the size.
_LEAST_REDUCTION = 1.4
_LEVELS_PER_OCTAVE = 2
#: Below this opacity a pixel's expected depth says nothing.
_LEAST_OPACITY = 1e-6


@dataclass(frozen=True, kw_only=True)
class GaussianConfig:
    """Size of a `GaussianField`; part of the map format.

    Attributes:
        count: number of Gaussians.
        sh_degree: degree of the spherical harmonics of the colours, 0 to 3.
        near: z-depth in normalized units in front of a camera where nothing can be.
        focal_px: focal length of the images that it was trained on; 0 for a field that is the same
            at all sizes.
    """

    count: int
    sh_degree: int
    near: float
    focal_px: float


class GaussianField(nn.Module):
    """Anti-aliased Gaussians: images of any size are as sharp as their pixels.

    Args:
        config: size of the field.
        aabb: box that holds the scene, (2, 3), normalized coordinates.
        background: 'white', 'black' or 'none'.

    Attributes:
        means: centres, (N, 3), normalized coordinates.
        log_scales: logarithms of the standard deviations along the axes, (N, 3).
        quaternions: of the axes, (N, 4), w first, of any norm but zero.
        logits: of the opacities, (N,).
        harmonics: spherical harmonics of the colours less 0.5, (N, K, 3), as 3DGS has them.
        distances: from which nearest distance the training images show each, (N,).
    """

    kind: ClassVar[str] = 'gaussians'
    renders_rays: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True

    #: Parameters that a map must not round to half precision.
    full_precision: ClassVar[tuple[str, ...]] = ('means',)

    aabb: Tensor
    distances: Tensor

    def __init__(self, config: GaussianConfig, aabb: Tensor, background: str) -> None:
        super().__init__()
        self.near = config.near
        self.focal_px = config.focal_px
        self.background = background
        self.register_buffer('aabb', aabb.float())
        N, K = config.count, (config.sh_degree + 1) ** 2
        self.means = nn.Parameter(torch.zeros(N, 3))
        self.log_scales = nn.Parameter(torch.zeros(N, 3))
        self.quaternions = nn.Parameter(torch.tensor([1.0, 0, 0, 0]).repeat(N, 1))
        self.logits = nn.Parameter(torch.zeros(N))
        self.harmonics = nn.Parameter(torch.zeros(N, K, 3))
        self.register_buffer('distances', torch.ones(N))
        self._levels: dict[int, GaussianTensors] = {}

    @property
    def config(self) -> GaussianConfig:
        """Size as it is now."""
        N, K, _ = self.harmonics.shape
        degree = round(K**0.5) - 1
        return GaussianConfig(count=N, sh_degree=degree, near=self.near, focal_px=self.focal_px)

    @property
    def gaussians(self) -> GaussianTensors:
        """The Gaussians as `splat` takes them."""
        scales, opacities = self.log_scales.exp(), self.logits.sigmoid()
        return GaussianTensors(self.means, scales, self.quaternions, opacities, self.harmonics)

    @property
    def renderer(self) -> str:
        """See `RadianceField`."""
        if self.means.is_cuda and gpu_rasterizer(self.means.device) is not None:
            return 'gsplat'
        return f'compiled kernels on {counted(torch.get_num_threads(), "thread")} of the CPU'

    def seen_by(self, camera: Camera) -> GaussianTensors:
        """The Gaussians for images of a camera: merged to its pixels, if these are larger.

        Only in evaluation mode; in training mode they change, and all of them are seen.
        """
        if self.training:
            return self.gaussians

        ratio = self.focal_px / camera.fx
        level = 0
        if ratio >= _LEAST_REDUCTION:
            level = math.floor(_LEVELS_PER_OCTAVE * math.log2(ratio))

        if level not in self._levels:
            gaussians = self.gaussians
            if level > 0:
                pixel = 2 ** (level / _LEVELS_PER_OCTAVE) / self.focal_px
                gaussians, _ = merged(gaussians, self.distances * pixel)
            self._levels[level] = gaussians

        return self._levels[level]

    def train(self, mode: bool = True) -> GaussianField:
        """See `torch.nn.Module.train`; what was merged before is forgotten."""
        self._levels = {}
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> GaussianField:
        """Moved to another device, for one: what was merged before is forgotten."""
        self._levels = {}
        return super()._apply(*args, **kwargs)

    @torch.no_grad()
    def render(self, T_norm_cam: Pose, camera: Camera, before: BeforePart = render_on) -> Rendering:
        """See `RadianceField.render`; poses that are not finite see the background."""
        gaussians = self.seen_by(camera)
        parts = [
            self._composited(splat(gaussians, poses, (camera, self.near), before=before))
            for poses in pose_batches(T_norm_cam, camera.width * camera.height)
        ]
        return Rendering.cat(parts).view(len(T_norm_cam), camera.height, camera.width)

    def render_pixels(
        self, T_norm_cam: Pose, camera: Camera, pixels: Tensor, before: BeforePart = render_on
    ) -> Rendering:
        """See `RadianceField.render_pixels`."""
        gaussians = self.seen_by(camera)
        shown = splat(gaussians, T_norm_cam, (camera, self.near), pixels, before=before)
        return self._composited(shown)

    def _composited(self, shown: Tensor) -> Rendering:
        """Pixels (..., 5) of `splat` on the background."""
        opacity = shown[..., 4]
        rgb = shown[..., :3] + (1 - opacity[..., None]) * BACKGROUND_COLORS[self.background]
        return Rendering(rgb, shown[..., 3] / opacity.clamp_min(_LEAST_OPACITY), opacity)
