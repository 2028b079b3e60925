# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Radiance field of anti-aliased 3D Gaussians (arXiv 2308.04079, 2311.16493)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf.bounded_view import BoundedView
from caldiff_ros.nerf.field import (
    BACKGROUND_COLORS,
    BeforePart,
    Rendering,
    pose_batches,
    render_on,
)
from caldiff_ros.nerf.gpu_splatting import GaussianTensors, SplatCamera
from caldiff_ros.nerf.gpu_tiles import TileRoom
from caldiff_ros.nerf.level_of_detail import merged
from caldiff_ros.nerf.splat_kernels import FILTER_VARIANCE
from caldiff_ros.nerf.splatting import bounded_rasterizer, gpu_rasterizer, splat
from caldiff_ros.wording import counted

#: Images smaller than those of the training by this factor are those of merged Gaussians, and how
#: many sizes these are merged for per halving of the size.
_LEAST_REDUCTION = 1.4
_LEVELS_PER_OCTAVE = 2
#: Variance of a square pixel along its edge.
_PIXEL_VARIANCE = 1 / 12
#: Cameras and numbers of poses, at most, whose renders are recorded on a GPU.
_MOST_VIEWS = 32
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
        antialiased: whether it was trained with anti-aliasing. Without, every Gaussian was larger
            in the training images, see `GaussianField.seen_with`.
        shift: what the training did not know of the principal point, as a share of the focal
            length to the right and down.
    """

    count: int
    sh_degree: int
    near: float
    focal_px: float
    antialiased: bool = True
    shift: tuple[float, float] = (0.0, 0.0)


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
    #: Parameters of which a map rounds what follows the first along the second dimension to bytes:
    #: how colours depend on the direction.
    byte_precision: ClassVar[tuple[str, ...]] = ('harmonics',)

    aabb: Tensor
    distances: Tensor

    def __init__(self, config: GaussianConfig, aabb: Tensor, background: str) -> None:
        super().__init__()
        self.near = config.near
        self.focal_px = config.focal_px
        self.antialiased = config.antialiased
        self.shift = config.shift[0], config.shift[1]
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
        self._views: dict[tuple[Camera, int], BoundedView] = {}

    @property
    def config(self) -> GaussianConfig:
        """Size as it is now."""
        N, K, _ = self.harmonics.shape
        degree = round(K**0.5) - 1
        return GaussianConfig(
            count=N,
            sh_degree=degree,
            near=self.near,
            focal_px=self.focal_px,
            antialiased=self.antialiased,
            shift=self.shift,
        )

    @property
    def gaussians(self) -> GaussianTensors:
        """The Gaussians as `splat` takes them."""
        scales, opacities = self.log_scales.exp(), self.logits.sigmoid()
        return GaussianTensors(self.means, scales, self.quaternions, opacities, self.harmonics)

    @property
    def dilations(self) -> Tensor:
        """Standard deviation of what the nearest training images add, normalized units, (N,)."""
        variance = 0.0 if self.antialiased else FILTER_VARIANCE
        return self.distances * (variance**0.5 / max(self.focal_px, 1e-9))

    @property
    def renderer(self) -> str:
        """See `RadianceField`."""
        if self.means.is_cuda and gpu_rasterizer(self.means.device) is not None:
            return 'gsplat'
        return f'compiled kernels on {counted(torch.get_num_threads(), "thread")} of the CPU'

    def seen_with(self, camera: Camera) -> SplatCamera:
        """A camera as it sees these Gaussians.

        Without anti-aliasing the training added `FILTER_VARIANCE` in its own pixels to every
        Gaussian, and that belongs to what it found: in images of other sizes it is as many of
        theirs. What smaller images then need is only the blur by which reduced photographs differ
        from large ones: more of it costs 3 dB at half the size.
        """
        right, down = self.shift
        if right or down:
            cx, cy = camera.cx + right * camera.fx, camera.cy + down * camera.fy
            camera = replace(camera, cx=cx, cy=cy)

        if self.antialiased:
            return SplatCamera(camera, self.near)

        ratio = (camera.fx / self.focal_px) ** 2
        blur = _PIXEL_VARIANCE * max(0.0, 1 - ratio)
        return SplatCamera(camera, self.near, FILTER_VARIANCE * ratio, blur)

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
                gaussians, _ = merged(gaussians, self.distances * pixel, self.dilations)
            self._levels[level] = gaussians

        return self._levels[level]

    def train(self, mode: bool = True) -> GaussianField:
        """See `torch.nn.Module.train`; what was merged before is forgotten."""
        self._levels, self._views = {}, {}
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> GaussianField:
        """Moved to another device, for one: what was merged before is forgotten."""
        self._levels, self._views = {}, {}
        return super()._apply(*args, **kwargs)

    @torch.no_grad()
    def render(self, T_norm_cam: Pose, camera: Camera, before: BeforePart = render_on) -> Rendering:
        """See `RadianceField.render`; poses that are not finite see the background."""
        parts = [
            self._rendered(poses, camera, before)
            for poses in pose_batches(T_norm_cam, camera.width * camera.height)
        ]
        return Rendering.cat(parts)

    def _rendered(self, poses: Pose, camera: Camera, before: BeforePart) -> Rendering:
        """`render` of poses (B,) that are rendered together."""
        view = self.bounded_view(camera, len(poses))
        if view is not None:
            before(len(poses) * camera.width * camera.height)
            recorded = view.recorded(poses)
            if recorded is not None:
                return recorded
            before = render_on  # it was called

        shown = splat(self.seen_by(camera), poses, self.seen_with(camera), before=before)
        return self._composited(shown).view(len(poses), camera.height, camera.width)

    def bounded_view(self, camera: Camera, n_poses: int) -> BoundedView | None:
        """See `RadianceField.bounded_view`; by gsplat, and only in evaluation mode."""
        device = self.means.device
        rasterize = bounded_rasterizer(device) if device.type == 'cuda' else None
        if rasterize is None or self.training or not len(self.means) or not n_poses:
            return None

        key = camera, n_poses
        if key not in self._views:
            gaussians, seen_with = self.seen_by(camera), self.seen_with(camera)

            def render(poses: Pose, room: TileRoom) -> Rendering:
                shown = self._composited(rasterize(gaussians, poses, seen_with, room=room))
                return shown.view(len(poses), camera.height, camera.width)

            if len(self._views) == _MOST_VIEWS:
                self._views.clear()
            self._views[key] = BoundedView(render, n_poses, device)

        return self._views[key]

    def render_pixels(
        self, T_norm_cam: Pose, camera: Camera, pixels: Tensor, before: BeforePart = render_on
    ) -> Rendering:
        """See `RadianceField.render_pixels`."""
        if self.means.is_cuda and not torch.is_grad_enabled():  # whole images are recorded
            out = self.render(T_norm_cam, camera, before).view(len(T_norm_cam), -1)
            return out[:, pixels]

        gaussians = self.seen_by(camera)
        shown = splat(gaussians, T_norm_cam, self.seen_with(camera), pixels, before=before)
        return self._composited(shown)

    def _composited(self, shown: Tensor) -> Rendering:
        """Pixels (..., 5) of `splat` on the background."""
        opacity = shown[..., 4]
        rgb = shown[..., :3] + (1 - opacity[..., None]) * BACKGROUND_COLORS[self.background]
        return Rendering(rgb, shown[..., 3] / opacity.clamp_min(_LEAST_OPACITY), opacity)
