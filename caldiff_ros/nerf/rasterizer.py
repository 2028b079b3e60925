# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Shares the rasterization of Gaussians out among threads: views, or parts of one."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from caldiff_ros.geometry import Camera
from caldiff_ros.nerf.gpu_splatting import SplatCamera
from caldiff_ros.nerf.splat_gradients import (
    GRADIENT_COLUMNS,
    blend_gradients,
    project_gradients,
)
from caldiff_ros.nerf.splat_kernels import (
    CHANNELS,
    COLUMNS,
    TILE,
    blend,
    project,
    put_in_order,
    sort_by_depth,
    sort_into_tiles,
)
from caldiff_ros.parallel import in_parallel, ranges

#: Parts of an image for each thread: tiles are not equally full.
_PARTS_PER_THREAD = 4

#: Means (N, 3), scales (N, 3), quaternions (N, 4), opacities (N,), and spherical harmonics
#: (N, K, 3), see `GaussianTensors`.
Gaussians = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class PixelGroups:
    """Pixels of a camera by the tiles they lie in, see `splat_kernels.blend`.

    Attributes:
        grid: rows and columns of tiles.
        count: how many pixels.
        arrays: where the groups of each tile begin, u and v of the pixels' centres, their places.
    """

    grid: tuple[int, int]
    count: int
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def of(cls, camera: Camera, pixels: np.ndarray, dtype: type = np.float32) -> PixelGroups:
        """Pixels by their indices (K,), row by row."""
        rows, columns = np.divmod(pixels.astype(np.int64), camera.width)
        grid = -(-camera.height // TILE), -(-camera.width // TILE)
        tile = rows // TILE * grid[1] + columns // TILE
        order = np.lexsort((columns, rows, tile))

        # each tile fills groups of its own, the last of them in part
        counts = np.bincount(tile, minlength=grid[0] * grid[1])
        starts = np.concatenate([[0], np.cumsum(-(-counts // TILE))])
        begin = np.concatenate([[0], np.cumsum(counts)])
        sorted_tile = tile[order]
        place = starts[sorted_tile] * TILE + np.arange(len(pixels)) - begin[sorted_tile]

        us, vs = np.zeros((2, starts[-1] * TILE), dtype)
        where = np.full(starts[-1] * TILE, -1, np.int32)
        us[place], vs[place] = columns[order] + 0.5, rows[order] + 0.5
        where[place] = order

        # what only fills a group up lies where the group's last pixel does
        filled = np.maximum.accumulate(np.where(where >= 0, np.arange(len(where)), 0))
        shape = (-1, TILE)
        arrays = starts, us[filled].reshape(shape), vs[filled].reshape(shape), where.reshape(shape)
        return cls(grid, len(pixels), arrays)


@functools.lru_cache(maxsize=32)
def image_groups(camera: Camera, dtype: type = np.float32) -> PixelGroups:
    """All pixels of a camera."""
    return PixelGroups.of(camera, np.arange(camera.width * camera.height), dtype)


@dataclass(frozen=True)
class ProjectedView:
    """What a camera sees of the Gaussians from one pose.

    Attributes:
        records: see `splat_kernels.project`, nearest first.
        ids: number of the Gaussian of each record.
        by_id: the records in the order of their Gaussians' numbers.
        grid: rows and columns of tiles.
        tiles: first of some rows of tiles and the one after the last, and the lists of these tiles,
            see `splat_kernels.sort_into_tiles`.
    """

    records: np.ndarray
    ids: np.ndarray
    by_id: np.ndarray
    grid: tuple[int, int]
    tiles: list[tuple[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]]

    def parts(self, n_threads: int) -> Iterator[tuple[tuple, tuple[int, ...]]]:
        """Lists of tiles and which of them, in parts for threads that are not equally busy."""
        n_columns = 1 if n_threads == 1 else _PARTS_PER_THREAD
        for (first, last), tiles in self.tiles:
            for column in range(n_columns):
                yield tiles, (first, last, column, n_columns, self.grid[1])


def camera_numbers(camera: SplatCamera, dtype: type = np.float32) -> np.ndarray:
    """A camera as the kernels take it."""
    of = camera.intrinsics
    numbers = of.fx, of.fy, of.cx, of.cy, of.width, of.height
    return np.array((*numbers, camera.near, camera.dilation, camera.blur), dtype)


def view(
    gaussians: Gaussians,
    pose: tuple[np.ndarray, np.ndarray],
    numbers: np.ndarray,
    grid: tuple[int, int],
    n_threads: int,
) -> ProjectedView:
    """Project Gaussians and sort them into tiles.

    Args:
        gaussians: the Gaussians.
        pose: R (3, 3) and t (3,) of T_norm_cam.
        numbers: see `camera_numbers`.
        grid: rows and columns of tiles.
        n_threads: how many threads share the work.
    """
    n = len(gaussians[0])
    projected = _room_for(n, gaussians[0].dtype)

    # 1. Project, each thread a range of the Gaussians
    parts = ranges(n, n_threads)
    seen = in_parallel(
        project, [(gaussians, pose, numbers, part, projected) for part in parts], n_threads
    )

    # 2. Sort by depth
    order = np.empty(sum(seen), np.int32)
    first = np.array([part[0] for part in parts])
    sort_by_depth(projected[0], first, np.array(seen), order)
    ordered = _room_for(len(order), gaussians[0].dtype)
    ranks = np.empty(n, np.int32)
    in_parallel(
        put_in_order,
        [(order, part, projected, ordered, ranks) for part in ranges(len(order), n_threads)],
        n_threads,
    )

    # 3. Sort into tiles, each thread some rows of them
    records, rectangles, ids = ordered
    rows = ranges(grid[0], min(n_threads, grid[0]))
    tiles = in_parallel(
        sort_into_tiles, [(records, rectangles, grid, part) for part in rows], n_threads
    )
    by_id = np.concatenate(
        [ranks[begin : begin + count] for (begin, _), count in zip(parts, seen, strict=True)]
    )
    return ProjectedView(records, ids, by_id, grid, list(zip(rows, tiles, strict=True)))


def _room_for(n: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Records, rectangles and numbers of ``n`` projected Gaussians."""
    return np.empty((n, COLUMNS), dtype), np.empty((n, 4), np.int16), np.empty(n, np.int32)


def image(projected: ProjectedView, groups: PixelGroups, n_threads: int) -> np.ndarray:
    """Blend a view: (pixels, CHANNELS), see `splat_kernels.blend`."""
    records = projected.records
    pixels = np.empty((groups.count, CHANNELS), records.dtype)
    in_parallel(
        blend,
        [
            (records, tiles, groups.arrays, part, pixels)
            for tiles, part in projected.parts(n_threads)
        ],
        n_threads,
    )
    return pixels


def gradients(
    projected: ProjectedView,
    gaussians: Gaussians,
    camera: tuple[tuple[np.ndarray, np.ndarray], np.ndarray, PixelGroups],
    images: tuple[np.ndarray, np.ndarray],
    n_threads: int,
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """From the gradient of a loss to an image to that to the Gaussians and the pose.

    Args:
        projected: the view, see `view`.
        gaussians: the Gaussians.
        camera: pose, numbers and pixels of the view.
        images: what `image` gave, and the loss's gradient to it.
        n_threads: how many threads share the work.

    Returns:
        Gradients to the five arrays of the Gaussians and to their places in the image (N, 2), in
        pixels; and to R and t of the pose, row by row, (12,).
    """
    pose, numbers, groups = camera
    dtype = gaussians[0].dtype
    records = projected.records

    # 1. To the projected Gaussians. Each thread has its own sums and its own columns of tiles, so
    # that sums do not depend on who was faster
    by_record = np.zeros((n_threads, len(records), GRADIENT_COLUMNS), dtype)

    def add_gradients(thread: int) -> None:
        for (first, last), tiles in projected.tiles:
            part = first, last, thread, n_threads, projected.grid[1]
            blend_gradients(records, tiles, groups.arrays, part, images, by_record[thread])

    in_parallel(add_gradients, [(thread,) for thread in range(n_threads)], n_threads)

    # 2. To the Gaussians, and to the pose
    arrays = (
        *(np.zeros_like(array) for array in gaussians),
        np.zeros((len(gaussians[0]), 2), dtype),
    )
    by_pose = np.zeros((n_threads, 12), dtype)
    # in the order in which the Gaussians lie in memory
    seen = records, projected.ids, projected.by_id, by_record
    parts = ranges(len(records), n_threads)
    in_parallel(
        project_gradients,
        [
            (gaussians, pose, numbers, part, seen, (*arrays, by_pose[i]))
            for i, part in enumerate(parts)
        ],
        n_threads,
    )
    return arrays, by_pose.sum(0)
