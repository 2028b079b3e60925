# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Monte Carlo localization: its resampling in closed form, its budget, and that it converges."""

from dataclasses import replace

import pytest
import torch
import wall

from caldiff_ros.baselines.monte_carlo import (
    MonteCarlo,
    MonteCarloConfig,
    make_monte_carlo,
    systematic_resampling,
)
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.localization.presets import PRESETS
from caldiff_ros.localization.run import Run
from maps import make_map


def test_weights_that_are_whole_shares_give_exactly_their_counts():
    weights = torch.tensor([0.0, 3.0, 1.0, 0.0, 4.0, 0.0, 0.0, 0.0])
    for seed in range(50):
        chosen = systematic_resampling(weights, torch.Generator().manual_seed(seed))
        assert torch.bincount(chosen, minlength=8).tolist() == [0, 3, 1, 0, 4, 0, 0, 0]


def test_counts_are_the_share_rounded_up_or_down_and_right_on_average():
    weights = torch.tensor([0.05, 0.4, 0.15, 0.4])
    counts = torch.stack(
        [
            torch.bincount(
                systematic_resampling(weights, torch.Generator().manual_seed(seed)), minlength=4
            )
            for seed in range(2000)
        ]
    ).float()
    expected = 4 * weights
    assert ((counts == expected.floor()) | (counts == expected.ceil())).all()
    assert torch.allclose(counts.mean(0), expected, atol=0.04)


def test_noise_falls_geometrically():
    config = MonteCarloConfig(
        iterations=3, position_noise=(0.09, 0.01), rotation_noise_deg=(8.0, 2.0)
    )
    many = wall.VIEW[torch.zeros(20000, dtype=torch.long)]
    for share, shift, turn_deg in ((0.0, 0.09, 8.0), (0.5, 0.03, 4.0), (1.0, 0.01, 2.0)):
        moved = MonteCarlo(config).perturbed(many, share, torch.Generator().manual_seed(0))
        offset = many.offset_to(moved)
        assert float(offset[:, :3].std()) == pytest.approx(shift, rel=0.02)
        assert float(torch.rad2deg(offset[:, 3:]).std()) == pytest.approx(turn_deg, rel=0.02)


def test_the_budget_is_that_of_the_paper_preset():
    config, paper = MonteCarloConfig(), PRESETS['paper']
    inside = paper.integrated_inerf
    rendered = paper.particles * paper.diffusion_steps * inside.steps * inside.pixels
    # a backward pass counts as a second rendering
    assert config.particles * config.iterations * config.pixels == 2 * rendered == 640_000


class FrontOfWall(wall.Wall):
    """Grey from behind, where the wall would look the same as from in front."""

    def render_rays(self, origins, directions):
        out = super().render_rays(origins, directions)
        return replace(out, rgb=torch.where(out.depth[:, None] > 0, out.rgb, 0.5))


@pytest.fixture
def run():
    """Make a run in front of a wall of coarse patches, which look alike from nearby only."""

    def make(seed):
        localization_map = make_map()
        localization_map.field = FrontOfWall(cells=6)
        return Run(localization_map, torch.Generator().manual_seed(seed))

    return make


def test_exactly_the_stated_rays_are_rendered(run):
    now = run(0)
    query = wall.photograph(now.map.field, wall.VIEW, wall.CAMERA)
    poses = MonteCarlo()(query, now)
    assert len(poses) == 100
    assert now.rays == 640_000


def test_particles_gather_at_the_camera_and_again_for_the_same_seed(run):
    query = wall.photograph(run(0).map.field, wall.VIEW, wall.CAMERA)
    filter_ = MonteCarlo(MonteCarloConfig(particles=1500, iterations=25, pixels=32))
    poses = filter_(query, run(1))
    assert float(poses.translation_error(wall.VIEW[0]).median()) < 0.1
    assert float(poses.rotation_error_deg(wall.VIEW[0]).median()) < 10
    assert torch.equal(poses.t, filter_(query, run(1)).t)
    assert not torch.equal(poses.t, filter_(query, run(2)).t)


def test_it_is_refined_as_in_the_paper():
    localizer = make_monte_carlo(Setup(make_map(), None, device='cpu'))
    assert localizer.config == PRESETS['paper']
    assert localizer.propose == MonteCarlo()
