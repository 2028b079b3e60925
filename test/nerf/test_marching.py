# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from caldiff_ros.nerf.marching import (
    OccupancyGrid,
    Samples,
    compositing_weights,
    distortion,
)


def test_weights_are_those_of_volume_rendering():
    ray = torch.tensor([0, 0, 0, 2, 2])
    tau = torch.tensor([0.1, 0.7, 2.0, 0.3, 50.0])
    weights = compositing_weights(Samples(ray, torch.zeros(5)), tau, n_rays=3)
    expected, transmittance = [], {}
    for r, depth in zip(ray.tolist(), tau.tolist(), strict=True):
        t = transmittance.get(r, 1.0)
        expected.append(t * (1 - math.exp(-depth)))
        transmittance[r] = t * math.exp(-depth)
    assert weights.tolist() == pytest.approx(expected, rel=1e-5)


def test_weights_of_no_sample():
    none = Samples(torch.zeros(0, dtype=torch.long), torch.zeros(0))
    assert compositing_weights(none, torch.zeros(0), n_rays=4).shape == (0,)


def test_distortion_is_the_mean_distance_of_two_points_on_a_ray():
    ray = torch.tensor([0, 0, 0, 2, 2])
    t = torch.tensor([0.5, 0.6, 0.9, 2.0, 2.3])
    w = torch.tensor([0.2, 0.5, 0.1, 0.7, 0.3])
    got = distortion(Samples(ray, t), w, step=0.03, n_rays=3)
    pairs = [
        float(w[i] * w[j] * (t[i] - t[j]).abs())
        for i in range(5)
        for j in range(5)
        if ray[i] == ray[j]
    ]
    # two uniform points within a length are a third of it apart
    within = float((w**2).sum()) * 0.03 / 3
    assert float(got) == pytest.approx((sum(pairs) + within) / 3, rel=1e-5)


def test_samples_lie_in_occupied_space_and_fill_it():
    grid = OccupancyGrid(torch.tensor([[-1.0] * 3, [1.0] * 3]), 32, step=0.02)
    occupied = torch.zeros(32, 32, 32, dtype=torch.bool)
    occupied[8:16, :, :] = True  # the slab -0.5 <= x < 0
    grid.set_occupied(occupied)
    generator = torch.Generator().manual_seed(0)
    origins = torch.cat([torch.full((64, 1), -3.0), torch.rand(64, 2, generator=generator)], 1)
    directions = torch.cat(
        [torch.full((64, 1), 2.0), 0.3 * torch.randn(64, 2, generator=generator)], 1
    )
    samples = grid.sample(origins, directions, near=0.0)
    points = origins[samples.ray] + samples.t[:, None] * directions[samples.ray]
    assert bool(((points[:, 0] > -0.5 - 1e-4) & (points[:, 0] < 1e-4)).all())
    # where a ray crosses the slab within the box, its samples add up to the length of the crossing
    entry = origins + 1.25 * directions
    leave = origins + 1.5 * directions
    crossing = ((entry[:, 1:].abs() < 0.98) & (leave[:, 1:].abs() < 0.98)).all(1)
    assert crossing.sum() > 20
    length = torch.bincount(samples.ray, minlength=64) * 0.02
    assert torch.allclose(length[crossing], (leave - entry).norm(dim=1)[crossing], atol=0.021)


def test_nothing_in_front_of_near_or_outside_the_box():
    grid = OccupancyGrid(torch.tensor([[-1.0] * 3, [1.0] * 3]), 16, step=0.05)
    origins = torch.tensor([[0.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
    directions = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    samples = grid.sample(origins, directions, near=0.5)
    assert bool((samples.ray == 0).all())
    assert float(samples.t.min()) >= 0.5
    assert float(samples.t.max()) <= 1.0
    assert len(samples.t) == 10
