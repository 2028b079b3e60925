# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussian splatting on a GPU, by gsplat (arXiv 2409.06765), with gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf.splat_kernels import FILTER_VARIANCE, TILE


class GaussianTensors(NamedTuple):
    """N Gaussians.

    Attributes:
        means: centres, (N, 3).
        scales: standard deviations along the axes, (N, 3).
        quaternions: of the axes, (N, 4), w first, of any norm but zero.
        opacities: 0..1, (N,).
        harmonics: spherical harmonics of the colours less 0.5, (N, K, 3), as 3DGS has them.
    """

    means: Tensor
    scales: Tensor
    quaternions: Tensor
    opacities: Tensor
    harmonics: Tensor

    def to(self, device: torch.device | str) -> GaussianTensors:
        """The same on a device."""
        return GaussianTensors(*(values.to(device) for values in self))


#: What `rasterize` takes and returns.
Rasterizer = Callable[[GaussianTensors, Pose, tuple[Camera, float], Tensor | None], Tensor]


def load() -> Rasterizer:
    """`rasterize`, once gsplat is imported and its kernels are compiled.

    gsplat compiles them at first use, for minutes where its wheel brings none; TORCH_CUDA_ARCH_LIST
    limits them to the GPU at hand.

    Raises:
        Exception: of any kind, if there is no gsplat or no compiler, or none that fits.
    """
    from gsplat.cuda import _backend

    if _backend._C is None:
        raise RuntimeError('its kernels are not compiled, which needs nvcc')
    return rasterize


def rasterize(
    gaussians: GaussianTensors,
    T_norm_cam: Pose,
    camera: tuple[Camera, float],
    places: Tensor | None,
) -> Tensor:
    """See `splatting.splat`; all pixels. gsplat waits for the GPU once, to count what to sort.

    Returns:
        (B, H * W, 5): colour and depth, weighted by the share of what shows them, and opacity.
    """
    from gsplat.cuda import _wrapper as gsplat

    means, scales, quaternions, opacities, harmonics = gaussians
    intrinsics, near = camera
    size = intrinsics.width, intrinsics.height
    B = len(T_norm_cam)
    if B == 0 or len(means) == 0:  # gsplat divides by their number
        return means.new_zeros(B, intrinsics.width * intrinsics.height, 5)

    K, nowhere = _constants(intrinsics, means.device)

    # 1. Project
    T_cam_norm = T_norm_cam.inverse()
    views = torch.cat([T_cam_norm.R, T_cam_norm.t[..., None]], dim=-1)
    views = torch.nn.functional.pad(views, (0, 0, 0, 1))
    # a pose that is not finite looks from where nothing is in front of it
    finite = (0 * views).sum((1, 2), keepdim=True) == 0
    views = torch.where(finite, views, nowhere)
    radii, centers, depths, conics, shares = gsplat.fully_fused_projection(
        means,
        None,
        quaternions,
        scales,
        views,
        K.expand(B, 3, 3),
        *size,
        eps2d=FILTER_VARIANCE,
        near_plane=near,
        calc_compensations=True,
        opacities=opacities,
    )
    if places is not None:
        centers = centers + places

    # 2. Colours from there; view by view, as gsplat wants the harmonics of each view anew
    degree = round(harmonics.shape[1] ** 0.5) - 1
    directions = means[None] - T_norm_cam.t[:, None]
    visible = (radii > 0).all(-1)
    colors = torch.stack(
        [
            gsplat.spherical_harmonics(degree, *view)
            for view in zip(directions, [harmonics] * B, visible, strict=True)
        ]
    )
    values = torch.cat([(colors + 0.5).clamp_min(0), depths[..., None]], dim=-1)

    # 3. Sort into tiles and blend
    tiles = -(-size[0] // TILE), -(-size[1] // TILE)
    _, intersections, flat = gsplat.isect_tiles(centers, radii, depths, TILE, *tiles, n_images=B)
    offsets = gsplat.isect_offset_encode(intersections, B, *tiles)
    shown, opacity = gsplat.rasterize_to_pixels(
        centers,
        conics,
        values,
        opacities * shares,
        *size,
        TILE,
        offsets.view(B, tiles[1], tiles[0]),
        flat,
    )

    return torch.cat([shown, opacity], dim=-1).flatten(1, 2)


@functools.lru_cache(maxsize=32)
def _constants(camera: Camera, device: torch.device) -> tuple[Tensor, Tensor]:
    """Intrinsic matrix, and the view of a camera that has everything behind it."""
    K = torch.from_numpy(camera.matrix()).to(device, torch.float32)
    behind = torch.zeros(4, 4)
    behind[2, 3] = -1
    return K, behind.to(device)
