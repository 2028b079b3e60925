# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussians sorted into tiles and blended by the GPU's kernels; conftest.py interprets them."""

import importlib

import pytest
import torch

from caldiff_ros.nerf.gpu_tiles import TileGrid, TileRoom

pytest.importorskip('triton')
kernels = importlib.import_module('caldiff_ros.nerf.gpu_blending')

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
SIZE = 44, 27
GRID = TileGrid(columns=6, rows=4, side=8)
N = 60


@pytest.fixture(scope='module')
def projected():
    """Gaussians in three images, some of them outside, some unseen."""
    rng = torch.Generator().manual_seed(0)
    centers = torch.rand(3, N, 2, generator=rng) * torch.tensor([70.0, 50.0]) - 10
    radii = torch.randint(0, 14, (3, N, 2), generator=rng).int()
    depths = torch.rand(3, N, generator=rng) + 0.1
    axes = torch.randn(3, N, 2, 2, generator=rng) * 3
    conic = torch.linalg.inv(axes @ axes.mT + 0.3 * torch.eye(2))
    conics = torch.stack([conic[..., 0, 0], conic[..., 0, 1], conic[..., 1, 1]], dim=-1)
    values = torch.rand(3, N, 4, generator=rng)
    opacities = torch.rand(3, N, generator=rng)
    parts = centers, radii, depths, conics, values, opacities
    return kernels.Projected(*(part.to(DEVICE) for part in parts))


def pairs_of_tiles(pairs):
    """The Gaussians of each tile, as lists."""
    flat = pairs.owners[pairs.order]
    begins = pairs.begins.flatten().tolist()
    return [flat[i:j].tolist() for i, j in zip(begins, [*begins[1:], len(flat)], strict=True)]


def test_each_tile_has_what_reaches_into_it_from_near_to_far(projected):
    room = TileRoom(2048, DEVICE)
    found = pairs_of_tiles(kernels.covered_tiles(projected, GRID, room))
    assert len(found) == 3 * (GRID.rows + 1) * GRID.columns
    n_pairs = 0
    for image in range(3):
        (x, y), (rx, ry) = projected.centers[image].cpu().T, projected.radii[image].cpu().T
        for row in range(GRID.rows):
            for column in range(GRID.columns):
                left, top = column * GRID.side, row * GRID.side
                across = (x + rx > left) & (x - rx < left + GRID.side)
                down = (y + ry > top) & (y - ry < top + GRID.side)
                inside = (across & down & (rx > 0) & (ry > 0)).nonzero()[:, 0]
                near_first = inside[projected.depths[image].cpu()[inside].argsort()]
                n_pairs += len(inside)
                tile = (image * (GRID.rows + 1) + row) * GRID.columns + column
                assert found[tile] == (near_first + N * image).tolist()
    assert int(room.needed) == n_pairs > 500
    # the rest of the room is in the very last tile, which has no pixels
    last = [len(tile) for tile in found[-GRID.columns :]]
    assert last == [0] * (GRID.columns - 1) + [2048 - n_pairs]


def test_what_has_no_room_is_counted(projected):
    enough, little = TileRoom(2048, DEVICE), TileRoom(100, DEVICE)
    kernels.covered_tiles(projected, GRID, enough)
    pairs = kernels.covered_tiles(projected, GRID, little)
    assert int(little.needed) == int(enough.needed) > len(pairs.order) == 100
    assert int(pairs.begins.max()) <= 100
    little.clear()
    assert int(little.needed) == 0


def test_what_is_nowhere_covers_nothing(projected):
    nowhere = projected._replace(centers=torch.full_like(projected.centers, torch.nan))
    room = TileRoom(8, DEVICE)
    pairs = kernels.covered_tiles(nowhere, GRID, room)
    assert int(room.needed) == 0 and int(pairs.begins.max()) == 0
    shown = kernels.blend(nowhere, SIZE, GRID, pairs)
    assert shown.shape == (3, SIZE[0] * SIZE[1], 5) and float(shown.abs().max()) == 0


def test_pixels_blend_what_is_in_their_tile_from_near_to_far(projected):
    """Against one Gaussian after the other in float64, as 3DGS defines it."""
    # wide and opaque in front, so that some pixels leave out the rest
    near = projected.depths < 0.5
    projected = projected._replace(
        opacities=torch.where(near, 1.0, projected.opacities),
        conics=torch.where(near[..., None], 0.1, 1.0) * projected.conics,
    )
    pairs = kernels.covered_tiles(projected, GRID, TileRoom(2048, DEVICE))
    shown = kernels.blend(projected, SIZE, GRID, pairs).cpu()
    tiles = pairs_of_tiles(pairs)
    centers, conics, values, opacities = (
        each.flatten(0, 1).double().cpu() for each in (projected.centers, *projected[3:])
    )
    n_closed = 0
    for image in range(3):
        for v in range(0, SIZE[1], 2):
            for u in range(0, SIZE[0], 3):
                tile = (image * (GRID.rows + 1) + v // GRID.side) * GRID.columns + u // GRID.side
                passing, expected = 1.0, torch.zeros(4, dtype=torch.float64)
                for g in tiles[tile]:
                    x, y = (centers[g] - torch.tensor([u + 0.5, v + 0.5])).tolist()
                    a, b, c = conics[g].tolist()
                    falloff = 0.5 * (a * x * x + c * y * y) + b * x * y
                    opacity = min(0.999, float(opacities[g]) * 2.718281828459045**-falloff)
                    if opacity < 1 / 255:
                        continue
                    if passing * (1 - opacity) <= 1e-4:
                        n_closed += 1
                        break
                    expected += passing * opacity * values[g]
                    passing *= 1 - opacity
                got = shown[image, v * SIZE[0] + u]
                assert got[:4].tolist() == pytest.approx(expected.tolist(), abs=1e-4)
                assert float(got[4]) == pytest.approx(1 - passing, abs=1e-4)
    assert n_closed > 20
