# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images of Gaussians as tensors, with gradients to the Gaussians and to the poses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf import rasterizer
from caldiff_ros.nerf.field import BeforePart, render_on
from caldiff_ros.nerf.splat_kernels import CHANNELS

#: Means (N, 3), logarithms of scales (N, 3), quaternions (N, 4), logits of opacities (N,), and
#: spherical harmonics (N, K, 3).
GaussianTensors = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def splat(
    gaussians: GaussianTensors,
    T_norm_cam: Pose,
    camera: tuple[Camera, float],
    pixels: Tensor | None = None,
    places: Tensor | None = None,
    before: BeforePart = render_on,
) -> Tensor:
    """What pixels of a camera show of Gaussians from poses (B,).

    Args:
        gaussians: the Gaussians.
        T_norm_cam: poses; those that are not finite see nothing.
        camera: a pinhole camera, and the depth up to which it sees nothing.
        pixels: indices (K,) row by row; default, all.
        places: zeros (N, 2) whose gradients are those to the Gaussians' places in the images, in
            pixels.
        before: called before each image, with its number of pixels.

    Returns:
        (B, K, 5): colour and depth, weighted by the share of what shows them, and opacity.
    """
    dtype = gaussians[0].detach().numpy().dtype
    if pixels is None:
        groups = rasterizer.image_groups(camera[0], dtype.type)
    else:
        groups = rasterizer.PixelGroups.of(camera[0], pixels.numpy(), dtype.type)

    numbers = rasterizer.camera_numbers(*camera, dtype.type)
    view = _View(numbers, groups, before)
    if places is None:
        places = gaussians[0].new_zeros(0, 2)

    return _Splat.apply(view, T_norm_cam.R, T_norm_cam.t, places, *gaussians)  # type: ignore[no-any-return]


class _View:
    """What does not change from pose to pose."""

    def __init__(
        self, numbers: np.ndarray, groups: rasterizer.PixelGroups, before: BeforePart
    ) -> None:
        self.numbers = numbers
        self.groups = groups
        self.before = before


class _Splat(torch.autograd.Function):
    """Kernels as a function that PyTorch can differentiate."""

    @staticmethod
    def forward(
        ctx: Any, view: _View, R: Tensor, t: Tensor, places: Tensor, *gaussians: Tensor
    ) -> Tensor:
        """See `splat`."""
        arrays = _arrays(gaussians)
        poses = _finite_poses(R, t)
        n_threads = torch.get_num_threads()
        images = t.new_zeros(len(t), view.groups.count, CHANNELS)
        # many views, each in a thread; of a few, each thread a part
        alone = n_threads if len(poses) < n_threads else 1

        def render(i: int) -> rasterizer.ProjectedView | None:
            view.before(view.groups.count)
            pose = poses[i]
            if pose is None:
                return None

            projected = rasterizer.view(arrays, pose, view.numbers, view.groups.grid, alone)
            images[i] = torch.from_numpy(rasterizer.image(projected, view.groups, alone))
            return projected if len(poses) == 1 else None

        kept = rasterizer.in_parallel(
            render, [(i,) for i in range(len(poses))], 1 if alone > 1 else n_threads
        )
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(R, t, images, *gaussians)
            # of several views the projection is computed anew: it takes more memory than the images
            ctx.view, ctx.kept, ctx.n_places = view, kept, len(places)

        return images

    @staticmethod
    def backward(ctx: Any, by_image: Tensor) -> tuple[Tensor | None, ...]:
        """See `splat_gradients`."""
        R, t, images, *gaussians = ctx.saved_tensors
        view: _View = ctx.view
        arrays = _arrays(gaussians)
        n_threads = torch.get_num_threads()
        alone = n_threads if len(t) < n_threads else 1
        poses = _finite_poses(R, t)
        shown, wanted = images.detach().numpy(), by_image.contiguous().numpy()

        def differentiate(i: int) -> tuple[tuple[np.ndarray, ...], np.ndarray] | None:
            pose = poses[i]
            if pose is None:
                return None

            view.before(view.groups.count)
            projected = ctx.kept[i]
            if projected is None:
                projected = rasterizer.view(arrays, pose, view.numbers, view.groups.grid, alone)

            return rasterizer.gradients(
                projected,
                arrays,
                (pose, view.numbers, view.groups),
                (shown[i], wanted[i]),
                alone,
            )

        by_R, by_t = torch.zeros_like(R), torch.zeros_like(t)
        sums: list[Tensor] | None = None
        batches = torch.arange(len(t)).split(n_threads)
        for batch in batches:
            results = rasterizer.in_parallel(
                differentiate, [(i,) for i in batch.tolist()], 1 if alone > 1 else n_threads
            )
            for i, result in zip(batch.tolist(), results, strict=True):
                if result is None:
                    continue
                found, by_pose = result
                by_R[i] = torch.from_numpy(by_pose[:9]).view(3, 3)
                by_t[i] = torch.from_numpy(by_pose[9:])
                if any(ctx.needs_input_grad[3:]):
                    tensors = [torch.from_numpy(array) for array in found]
                    sums = (
                        tensors
                        if sums is None
                        else [a.add_(b) for a, b in zip(sums, tensors, strict=True)]
                    )

        if sums is None:
            sums = [torch.zeros_like(tensor) for tensor in gaussians] + [t.new_zeros(0, 2)]

        *by_gaussians, by_places = sums
        return None, by_R, by_t, by_places if ctx.n_places else None, *by_gaussians


def _finite_poses(R: Tensor, t: Tensor) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Poses one by one; None where one is not finite."""
    finite = (R.isfinite().all((1, 2)) & t.isfinite().all(1)).tolist()
    arrays = R.detach().contiguous().numpy(), t.detach().contiguous().numpy()
    return [
        pose if is_finite else None
        for pose, is_finite in zip(zip(*arrays, strict=True), finite, strict=True)
    ]


def _arrays(gaussians: Any) -> rasterizer.Gaussians:
    """The same memory as arrays."""
    means, log_scales, quaternions, logits, harmonics = (
        tensor.detach().contiguous().numpy() for tensor in gaussians
    )
    return means, log_scales, quaternions, logits, harmonics
