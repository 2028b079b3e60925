# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Splats of millions of Gaussians made as small as the images of a map need them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.visibility import seen_weights
from caldiff_ros.nerf.field import Rendering
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField
from caldiff_ros.nerf.gpu_splatting import GaussianTensors
from caldiff_ros.nerf.level_of_detail import merged

#: A Gaussian that adds less than this to the sum of any image, in pixels, is not seen: a step of
#: eight bits in one of them.
_LEAST_WEIGHT = 1 / 255
#: Merged from half a pixel on, by ever larger cells.
_FIRST_CELL_PX, _GROWTH = 0.5, 2**0.5
#: Views on which what is lost is measured.
_COMPARED_VIEWS = 4
#: Of an opacity that has a logit.
_OPACITIES = (1e-6, 1 - 1e-6)


@dataclass(frozen=True)
class Reduction:
    """What it took to make a field smaller.

    Attributes:
        before, after: number of Gaussians.
        psnr_db: of its images, with those from before as the truth.
        before_ms, after_ms: time for one image.
    """

    before: int
    after: int
    psnr_db: float
    before_ms: float
    after_ms: float

    def __str__(self) -> str:
        return (
            f'{self.before} Gaussians culled and merged to {self.after}: the images change at PSNR '
            f'{self.psnr_db:.1f} dB, in {self.after_ms:.0f} instead of {self.before_ms:.0f} ms'
        )


def reduced(
    field: GaussianField, cameras: Pose, camera: Camera, budget: int, context: BuildContext
) -> tuple[GaussianField, Reduction]:
    """A field without the Gaussians that no camera sees, the others merged to a budget.

    Args:
        field: the Gaussians.
        cameras: T_norm_cam (V,) from all over the region where cameras will be.
        camera: their intrinsics.
        budget: most Gaussians.
        context: receives the progress of 'culling'.
    """
    compared = cameras[:_COMPARED_VIEWS]
    truth, before_ms = _timed(field, compared, camera)

    # 1. Cull
    most = torch.zeros_like(field.logits)
    for i in range(len(cameras)):
        most = torch.maximum(most, seen_weights(field, cameras[i : i + 1], camera))
        context.progress('culling', i + 1, len(cameras))
    result = _subset(field, most >= _LEAST_WEIGHT)

    # 2. Merge, by cells of the least size that makes few enough
    seen, cell_px = result, _FIRST_CELL_PX
    while len(result.means) > budget:
        result = _merged(seen, cell_px / camera.fx)
        cell_px *= _GROWTH

    shown, after_ms = _timed(result, compared, camera)
    mse = float((shown.rgb - truth.rgb).square().mean())
    psnr_db = -10 * torch.log10(torch.tensor(max(mse, 1e-10))).item()
    counts = len(field.means), len(result.means)
    return result, Reduction(*counts, psnr_db, before_ms, after_ms)


def _timed(field: GaussianField, cameras: Pose, camera: Camera) -> tuple[Rendering, float]:
    """Images, and the milliseconds that one takes."""
    field.render(cameras[:1], camera)  # what is merged once is not what an image takes
    start = time.perf_counter()
    shown = field.render(cameras, camera)
    return shown, 1000 * (time.perf_counter() - start) / len(cameras)


def _merged(field: GaussianField, cell: float) -> GaussianField:
    """With one Gaussian for all in a cell of this size at depth 1."""
    gaussians, group = merged(field.gaussians, field.distances * cell, field.dilations)
    distances = field.distances.new_full((len(gaussians.means),), torch.inf)
    distances = distances.scatter_reduce(0, group, field.distances, 'amin')
    return _field_of(field, gaussians, distances)


def _subset(field: GaussianField, chosen: Tensor) -> GaussianField:
    gaussians = GaussianTensors(*(values[chosen] for values in field.gaussians))
    return _field_of(field, gaussians, field.distances[chosen])


def _field_of(like: GaussianField, gaussians: GaussianTensors, distances: Tensor) -> GaussianField:
    """A field of other Gaussians."""
    config = GaussianConfig(**{**vars(like.config), 'count': len(gaussians.means)})
    field = GaussianField(config, like.aabb.cpu(), like.background)
    field.load_state_dict(
        {
            'aabb': like.aabb,
            'means': gaussians.means,
            'log_scales': gaussians.scales.log(),
            'quaternions': gaussians.quaternions,
            'logits': gaussians.opacities.clamp(*_OPACITIES).logit(),
            'harmonics': gaussians.harmonics,
            'distances': distances,
        }
    )
    return field.requires_grad_(False).eval().to(like.aabb.device)
