# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussian splatting on a GPU, by gsplat (arXiv 2409.06765), with gradients."""

from __future__ import annotations

import functools
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf.gpu_tiles import TileGrid, TileRoom
from caldiff_ros.nerf.splat_kernels import FILTER_VARIANCE, TILE

#: Of the square of a share of the opacity, whose root has no gradient at 0.
_LEAST_SHARE = 1e-12
#: Colours that are computed at a time.
_COLORS_AT_ONCE = 2**21


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


class SplatCamera(NamedTuple):
    """A camera that looks at Gaussians.

    Attributes:
        intrinsics: a pinhole camera.
        near: depth up to which it sees nothing.
        dilation: variance in square pixels by which they are larger without being fainter, as
            those are that were trained without anti-aliasing.
        blur: variance in square pixels that is then added, and takes as much of their opacity.
    """

    intrinsics: Camera
    near: float
    dilation: float = 0.0
    blur: float = FILTER_VARIANCE


class Rasterizer(Protocol):
    """What `rasterize` takes and returns."""

    def __call__(
        self,
        gaussians: GaussianTensors,
        T_norm_cam: Pose,
        camera: SplatCamera,
        places: Tensor | None = None,
        room: TileRoom | None = None,
    ) -> Tensor:
        """See `rasterize`."""
        ...


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
    camera: SplatCamera,
    places: Tensor | None = None,
    room: TileRoom | None = None,
) -> Tensor:
    """See `splatting.splat`; all pixels.

    Args:
        gaussians: the Gaussians.
        T_norm_cam: poses (B,).
        camera: what they are seen with.
        places: see `splatting.splat`.
        room: memory for what is to be sorted; without it gsplat waits for the GPU once, to count,
            and with it there are no gradients.

    Returns:
        (B, H * W, 5): colour and depth, weighted by the share of what shows them, and opacity.
    """
    from gsplat.cuda import _wrapper as gsplat

    means, scales, quaternions, opacities, harmonics = gaussians
    intrinsics = camera.intrinsics
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
        eps2d=camera.dilation + camera.blur,
        near_plane=camera.near,
        calc_compensations=True,
        opacities=opacities,
    )
    if camera.dilation > 0:
        shares = blurred_shares(conics, camera.blur)
    if places is not None:
        centers = centers + places

    # 2. Colours from there
    directions = means[None] - T_norm_cam.t[:, None]
    colors = _colors(directions, harmonics, (radii > 0).all(-1))
    values = torch.cat([colors, depths[..., None]], dim=-1)

    # 3. Sort into tiles and blend
    if room is not None:
        from caldiff_ros.nerf.gpu_blending import Projected, blend, covered_tiles

        projected = Projected(centers, radii, depths, conics, values, opacities * shares)
        grid = TileGrid.of(*size)
        return blend(projected, size, grid, covered_tiles(projected, grid, room))

    tiles = -(-size[0] // TILE), -(-size[1] // TILE)
    _, keys, flat = gsplat.isect_tiles(centers, radii, depths, TILE, *tiles, n_images=B)
    begins = gsplat.isect_offset_encode(keys, B, *tiles).view(B, tiles[1], tiles[0])
    shown, opacity = gsplat.rasterize_to_pixels(
        centers, conics, values, opacities * shares, *size, TILE, begins, flat
    )

    return torch.cat([shown, opacity], dim=-1).flatten(1, 2)


def _colors(directions: Tensor, harmonics: Tensor, visible: Tensor) -> Tensor:
    """Colours (B, N, 3) of Gaussians (N) that are seen along directions (B, N, 3)."""
    from gsplat.cuda import _wrapper as gsplat

    N, K, _ = harmonics.shape
    degree = round(K**0.5) - 1
    # gsplat wants the harmonics of each view anew
    at_once = max(1, _COLORS_AT_ONCE // N)
    parts = [
        gsplat.spherical_harmonics(degree, seen, harmonics.expand(len(seen), N, K, 3), shown)
        for seen, shown in zip(directions.split(at_once), visible.split(at_once), strict=True)
    ]
    return (torch.cat(parts) + 0.5).clamp_min(0)


def blurred_shares(conics: Tensor, blur: float) -> Tensor:
    """What the image's blur leaves of the opacity of Gaussians.

    It is sqrt(det(C - blur I) / det(C)) for their covariance C in the image, blur and all.

    Args:
        conics: of the inverse of C the elements (0, 0), (0, 1) and (1, 1), (..., 3).
        blur: variance in square pixels.

    Returns:
        (...,).
    """
    a, b, c = conics.unbind(-1)
    share = (1 - blur * a) * (1 - blur * c) - (blur * b) ** 2
    return share.clamp_min(_LEAST_SHARE).sqrt()


@functools.lru_cache(maxsize=32)
def _constants(camera: Camera, device: torch.device) -> tuple[Tensor, Tensor]:
    """Intrinsic matrix, and the view of a camera that has everything behind it."""
    K = torch.from_numpy(camera.matrix()).to(device, torch.float32)
    behind = torch.zeros(4, 4)
    behind[2, 3] = -1
    return K, behind.to(device)
