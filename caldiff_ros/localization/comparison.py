# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the difference of a render from the query changes with the pose that it was rendered from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.comparison_kernels import BLOCK_PX, EDGE_RATIO, FAR, linearize
from caldiff_ros.localization.query import (
    Query,
    blur_kernel,
    blurred,
    gpu_kernels,
    robust_loss,
    robust_weight,
)
from caldiff_ros.nerf.field import Rendering, pixel_directions
from caldiff_ros.parallel import in_parallel

if TYPE_CHECKING:  # Triton is not everywhere
    from caldiff_ros.localization.gpu_comparison import Sums

#: Blur by which depth is filled in where a ray hits nothing, in pixels.
_FILLING_PX = 2.0


@dataclass(frozen=True, kw_only=True)
class Level:
    """One resolution of the alignment."""

    longer_side: int
    """Longer side of the image, in pixels."""
    iterations: int
    """Most iterations."""
    blur_px: float
    """Standard deviation of the blur of image and render, in pixels of the level: wider basins, at
    the cost of accuracy."""
    robust_scale: float
    """Colour difference (0..1) beyond which a pixel counts less (Geman-McClure): where the field is
    wrong, or something stands in front of it, nothing must pull at the pose."""
    edge_weight: float
    """Weight of the pixels at edges of the rendered depth, see `depth_edges`: from few images, a
    field learns silhouettes that are a fraction of a pixel too large, and surfaces seen at a low
    angle that lie too high."""
    mean_gradient: bool
    """Whether the image gradients are the mean of those of render and query (efficient second-order
    minimization, Benhimane and Malis 2004). Near the end that takes half as many steps; from far
    away it leads astray, and the noise of the query, which its gradient shares with the residuals,
    asks for a last level without."""
    min_step_px: float
    """A hypothesis whose next step turns or shifts the image by less, in pixels of the level, takes
    it unseen and is done with the level."""


@dataclass(frozen=True)
class Target:
    """The query as the alignment compares it.

    Attributes:
        query: the image.
        blur_px: standard deviation of the blur of image and renders, in pixels.
        rgb: its blurred colours, (1, H, W, 3).
        seen: 1 where the blurred colours rest on seen pixels only, (1, H * W, 1).
    """

    query: Query
    blur_px: float
    rgb: Tensor
    seen: Tensor

    @classmethod
    def of(cls, query: Query, blur_px: float) -> Target:
        """Prepare a query at its own resolution."""
        rgb = blurred(query.rgb[None], blur_px)
        unseen = 1 - torch.from_numpy(query.seen).to(query.device)[None].float()
        seen = 1 - F.max_pool2d(unseen, 5, stride=1, padding=2)
        return cls(query, blur_px, rgb, seen.view(1, -1, 1))


@dataclass(frozen=True)
class Linearization:
    """Residuals at poses (P,), and how they change with the parameters of `Pose.retract`.

    Attributes:
        curvature: J^T W J, (P, 6, 6): weights are robust, less at edges, 0 where nothing was seen.
        scores: J^T W r of each block of `BLOCK_PX` x `BLOCK_PX` pixels, (P, rows, columns, 6).
        cost: robust cost per pixel, (P,).
    """

    curvature: Tensor
    scores: Tensor
    cost: Tensor

    @property
    def gradient(self) -> Tensor:
        """J^T W r of the whole image, (P, 6)."""
        return self.scores.sum((1, 2))

    @classmethod
    def at(cls, poses: Pose, rendering: Rendering, target: Target, level: Level) -> Linearization:
        """Compare what the query's camera sees from poses (P,), (P, H, W), with the query."""
        if rendering.rgb.is_cpu:
            compare = _compiled_comparison
        elif gpu_kernels(rendering.rgb.device) is not None:
            compare = _gpu_comparison
        else:
            compare = _comparison

        # translation is in the camera's axes so far
        curvature, scores, cost = compare(rendering, target, level)
        turn = torch.eye(6, device=curvature.device, dtype=curvature.dtype).repeat(len(poses), 1, 1)
        turn[:, :3, :3] = poses.R

        return cls(
            turn @ curvature @ turn.transpose(1, 2),
            (turn[:, None, None] @ scores[..., None])[..., 0],
            cost,
        )


def _compiled_comparison(
    rendering: Rendering, target: Target, level: Level
) -> tuple[Tensor, Tensor, Tensor]:
    """See `_comparison`; on a CPU."""
    camera = target.query.camera
    P = len(rendering.rgb)
    blocks = -(-camera.height // BLOCK_PX), -(-camera.width // BLOCK_PX)
    curvature, scores = np.zeros((P, 6, 6)), np.zeros((P, *blocks, 6))
    images = [
        values.contiguous().numpy()
        for values in (rendering.rgb, rendering.depth, rendering.opacity)
    ]
    seen = target.seen.view(camera.height, camera.width)
    query = target.rgb[0].contiguous().numpy(), seen.contiguous().numpy()
    kernels = (
        blur_kernel(target.blur_px).numpy() if target.blur_px else np.empty(0, np.float32),
        blur_kernel(_FILLING_PX).numpy(),
    )
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32)
    numbers = (
        level.robust_scale,
        level.edge_weight,
        0.5 if level.mean_gradient else 0.0,
        float(target.query.affine_exposure),
    )

    def compare(i: int) -> float:
        pixels = images[0][i], images[1][i], images[2][i]
        sums = curvature[i], scores[i]
        return linearize(pixels, query, kernels, intrinsics, numbers, sums)

    cost = in_parallel(compare, [(i,) for i in range(P)], torch.get_num_threads())
    sums = torch.from_numpy(curvature).float(), torch.from_numpy(scores).float()
    return *sums, torch.tensor(cost, dtype=torch.float32)


def _gpu_comparison(
    rendering: Rendering, target: Target, level: Level
) -> tuple[Tensor, Tensor, Tensor]:
    """See `_comparison`; on a GPU that Triton compiles for."""
    return gpu_sums(rendering, target, level).totals


def gpu_sums(rendering: Rendering, target: Target, level: Level) -> Sums:
    """Compare what the query's camera sees from poses (P,), (P, H, W), with the query.

    On a GPU that Triton compiles for, see `gpu_kernels`.
    """
    kernels = gpu_kernels(rendering.rgb.device)
    assert kernels is not None
    camera, device = target.query.camera, rendering.rgb.device
    rgb, seen = rendering.rgb, target.seen[0, :, 0]
    if target.blur_px:
        rgb = kernels.blur(rgb, blur_kernel(target.blur_px, device))
    exposure = None
    if target.query.affine_exposure:
        exposure = kernels.fit_exposure(rgb.flatten(1, 2), target.rgb.view(-1, 3), seen)

    return kernels.linearize(
        (rgb, rendering.depth, rendering.opacity),
        (target.rgb[0], seen),
        exposure,
        (camera.fx, camera.fy, camera.cx, camera.cy),
        (level.robust_scale, level.edge_weight, 0.5 if level.mean_gradient else 0.0),
        blur_kernel(_FILLING_PX, device),
    )


def _comparison(
    rendering: Rendering, target: Target, level: Level
) -> tuple[Tensor, Tensor, Tensor]:
    """Curvature, scores and cost, see `Linearization`, translation in the camera's axes."""
    P, height, width = rendering.depth.shape
    products, pulls, cost = weighted_gradients(rendering, target, level)

    motion = pixel_motion(filled_depth(rendering).flatten(1, 2), target.query.camera)
    curvature = torch.einsum('pnia,pnij,pnjb->pab', motion, products, motion)
    per_pixel = torch.einsum('pnia,pni->pan', motion, pulls).view(P, 6, height, width)
    scores = F.avg_pool2d(
        per_pixel, BLOCK_PX, ceil_mode=True, count_include_pad=False, divisor_override=1
    )

    return curvature, scores.permute(0, 2, 3, 1), cost


def weighted_gradients(
    rendering: Rendering, target: Target, level: Level
) -> tuple[Tensor, Tensor, Tensor]:
    """How much each pixel of renders (P, H, W) counts, and how it wants to move.

    Returns:
        The gradients of its colours multiplied with each other, (P, H * W, 2, 2), and with the
        residuals, (P, H * W, 2), both weighted, and the robust cost per pixel, (P,).
    """
    rgb = blurred(rendering.rgb, target.blur_px)
    flat = target.query.exposed(rgb.flatten(1, 2), target.rgb.view(-1, 3), target.seen[0])
    rgb = flat.view_as(rgb)

    gradient = image_gradient(rgb)
    if level.mean_gradient:
        gradient = (gradient + image_gradient(target.rgb)) / 2
    gradient = gradient.flatten(1, 2)
    residual = (rgb - target.rgb).flatten(1, 2)
    compared = target.seen
    if level.edge_weight < 1:
        edges = depth_edges(rendering).flatten(1, 2)[..., None]
        compared = compared * torch.where(edges, level.edge_weight, 1.0)

    squared = (residual**2).sum(-1, keepdim=True)
    robust = compared * robust_loss(squared, level.robust_scale)
    weight = compared * robust_weight(squared, level.robust_scale)
    products = weight[..., None] * (gradient.transpose(2, 3) @ gradient)
    pulls = weight * (gradient.transpose(2, 3) @ residual[..., None])[..., 0]

    return products, pulls, robust.sum((1, 2)) / compared.sum((1, 2)).clamp_min(1)


def pixel_motion(depth: Tensor, camera: Camera) -> Tensor:
    """How pixels of a render move over the scene with the pose.

    Args:
        depth: of the pixels, (P, H * W).
        camera: intrinsics of the image.

    Returns:
        (P, H * W, 2, 6): along u and v, in pixels, by a shift of the camera in its own axes and a
        turn about them: minus the motion of what is seen.
    """
    x, y = pixel_directions(camera, depth.device)[:, :2].expand(len(depth), -1, -1).unbind(-1)
    inverse = 1 / depth.clamp_min(1e-3)
    zero = torch.zeros_like(inverse)
    along_u = [inverse, zero, -x * inverse, -x * y, 1 + x * x, -y]
    along_v = [zero, inverse, -y * inverse, -1 - y * y, x * y, x]

    return torch.stack(
        [camera.fx * torch.stack(along_u, dim=-1), camera.fy * torch.stack(along_v, dim=-1)], dim=2
    )


def image_gradient(images: Tensor) -> Tensor:
    """Central differences of (P, H, W, C) along u and v, per pixel: (P, H, W, C, 2)."""
    along_v, along_u = torch.gradient(images, dim=(1, 2))
    return torch.stack([along_u, along_v], dim=-1)


def depth_edges(rendering: Rendering) -> Tensor:
    """Pixels around which the depth differs much: silhouettes, and surfaces seen at a low angle.

    Returns:
        bool (P, H, W), of a rendering (P, H, W).
    """
    depth = torch.where(rendering.opacity > 0.5, rendering.depth, FAR)
    log_depth = depth.clamp_min(1e-6).log()[:, None]
    farthest, nearest = (F.max_pool2d(x, 3, stride=1, padding=1) for x in (log_depth, -log_depth))

    return (farthest + nearest)[:, 0] > math.log(EDGE_RATIO)


def filled_depth(out: Rendering) -> Tensor:
    """Depth where a ray hits nothing from its neighbours: silhouettes move like their object."""
    weight = blurred(out.opacity[..., None], _FILLING_PX)[..., 0]
    depth = blurred((out.depth * out.opacity)[..., None], _FILLING_PX)[..., 0]
    return torch.where(out.opacity > 0.5, out.depth, depth / weight.clamp_min(1e-4))
