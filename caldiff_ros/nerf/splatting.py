# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images of Gaussians as tensors, with gradients to the Gaussians and to the poses."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf import gpu_splatting, rasterizer
from caldiff_ros.nerf.field import BeforePart, render_on
from caldiff_ros.nerf.gpu_splatting import GaussianTensors, SplatCamera
from caldiff_ros.nerf.gpu_tiles import TileRoom
from caldiff_ros.nerf.splat_kernels import CHANNELS
from caldiff_ros.parallel import in_parallel

logger = logging.getLogger(__name__)

#: gsplat's colours and opacities may differ from those of the CPU's kernels by this.
_MOST_DIFFERENCE = 0.01
#: Room for what `self_check` shows.
_CHECKED_PAIRS = 1 << 16


def splat(
    gaussians: GaussianTensors,
    T_norm_cam: Pose,
    camera: SplatCamera,
    pixels: Tensor | None = None,
    places: Tensor | None = None,
    before: BeforePart = render_on,
) -> Tensor:
    """What pixels of a camera show of Gaussians from poses (B,).

    Args:
        gaussians: the Gaussians.
        T_norm_cam: poses; those that are not finite see nothing.
        camera: what they are seen with.
        pixels: indices (K,) row by row; default, all.
        places: zeros (N, 2) whose gradients are those to the Gaussians' places in the images, in
            pixels.
        before: called before each image, with its number of pixels.

    Returns:
        (B, K, 5): colour and depth, weighted by the share of what shows them, and opacity.
    """
    if gaussians[0].is_cuda:
        rasterize = gpu_rasterizer(gaussians[0].device)
        if rasterize is not None:
            before(len(T_norm_cam) * camera.intrinsics.width * camera.intrinsics.height)
            shown = rasterize(gaussians, T_norm_cam, camera, places)
            return shown if pixels is None else shown[:, pixels]

        on_cpu = gaussians.to('cpu')
        picked, moved = (None if each is None else each.cpu() for each in (pixels, places))
        shown = splat(on_cpu, T_norm_cam.to('cpu'), camera, picked, moved, before)
        return shown.to(gaussians[0].device)

    dtype = np.float64 if gaussians[0].dtype == torch.float64 else np.float32
    if pixels is None:
        groups = rasterizer.image_groups(camera.intrinsics, dtype)
    else:
        groups = rasterizer.PixelGroups.of(camera.intrinsics, pixels.numpy(), dtype)

    numbers = rasterizer.camera_numbers(camera, dtype)
    view = _View(numbers, groups, before)
    if places is None:
        places = gaussians[0].new_zeros(0, 2)

    return _Splat.apply(view, T_norm_cam.R, T_norm_cam.t, places, *gaussians)


@functools.cache
def gpu_rasterizer(device: torch.device) -> gpu_splatting.Rasterizer | None:
    """Gsplat's rasterization, if it can be had and shows what the CPU's kernels show; else None."""
    return _checked(gpu_splatting.load, device, 'rendered on the CPU: gsplat')


@functools.cache
def bounded_rasterizer(device: torch.device) -> gpu_splatting.Rasterizer | None:
    """`gpu_rasterizer` for images that are not waited for, whose kernels Triton compiles."""
    rasterize = gpu_rasterizer(device)
    if rasterize is None:
        return None

    room = TileRoom(_CHECKED_PAIRS, device)
    bounded = functools.partial(rasterize, room=room)
    if _checked(lambda: bounded, device, 'not recorded: Triton') is None:
        return None
    return rasterize


def _checked(
    load: Callable[[], gpu_splatting.Rasterizer], device: torch.device, otherwise: str
) -> gpu_splatting.Rasterizer | None:
    """What is loaded, if it shows what the CPU's kernels show; else None, and a line says why."""
    try:
        rasterize = load()
        difference = self_check(rasterize, device)
    except Exception as error:  # a compiler's errors are of any kind
        logger.warning('Gaussians are %s is of no use here (%s)', otherwise, error)
        return None

    if not difference < _MOST_DIFFERENCE:
        logger.warning('Gaussians are %s shows colours that differ by %.3g', otherwise, difference)
        return None

    return rasterize


def self_check(rasterize: gpu_splatting.Rasterizer, device: torch.device) -> float:
    """Largest difference between two rasterizations of a small field, in colour and opacity."""
    rng = torch.Generator().manual_seed(0)
    n = 200
    gaussians = GaussianTensors(
        torch.rand(n, 3, generator=rng) * torch.tensor([2.0, 2.0, 1.0]) + torch.tensor([-1, -1, 2]),
        torch.exp(torch.rand(n, 3, generator=rng) * 1.5 - 4),
        torch.randn(n, 4, generator=rng),
        torch.rand(n, generator=rng),
        0.3 * torch.randn(n, 9, 3, generator=rng),
    )
    camera = SplatCamera(Camera(96, 64, 90.0, 90.0, 48.0, 32.0), near=0.1)
    pose = Pose.identity(1)
    shown = rasterize(gaussians.to(device), pose.to(device), camera, None).cpu()

    return float((shown - splat(gaussians, pose, camera))[..., [0, 1, 2, 4]].abs().max())


@dataclass(frozen=True)
class _View:
    """What does not change from pose to pose."""

    numbers: np.ndarray
    groups: rasterizer.PixelGroups
    before: BeforePart


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

        kept = in_parallel(render, [(i,) for i in range(len(poses))], 1 if alone > 1 else n_threads)
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
            results = in_parallel(
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
    means, scales, quaternions, opacities, harmonics = (
        tensor.detach().contiguous().numpy() for tensor in gaussians
    )
    return means, scales, quaternions, opacities, harmonics
