# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How much of a Gaussian the views see."""

import pytest
import torch
from blobs import ring

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.mapping.visibility import unhidden_weights, visible_shares
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField

CAMERA = Camera(120, 120, 200.0, 190.0, 60.0, 60.0)


def field_of(means, scales, opacities) -> GaussianField:
    """Gaussians whose axes are turned in various ways."""
    config = GaussianConfig(count=len(means), sh_degree=0, near=0.1, focal_px=CAMERA.fx)
    field = GaussianField(config, torch.ones(2, 3), 'none')
    with torch.no_grad():
        field.means.copy_(torch.tensor(means))
        field.log_scales.copy_(torch.tensor(scales).log())
        field.logits.copy_(torch.tensor(opacities).logit())
        field.quaternions.copy_(
            torch.randn(len(means), 4, generator=torch.Generator().manual_seed(2))
        )
    return field


def test_the_weight_of_one_that_nothing_hides_is_the_sum_of_its_opacity_in_the_image():
    """Wide ones and thin ones, thinner than a pixel as well."""
    pose = ring(1, radius=2.0)
    for scales in ([0.1, 0.1, 0.1], [0.1, 0.05, 0.01], [0.08, 0.002, 0.001]):
        field = field_of([[0.05, -0.03, 0.02]], [scales], [0.7])
        shown = float(field.render(pose, CAMERA).opacity.sum())
        expected = float(unhidden_weights(field.gaussians, pose, CAMERA).detach())
        assert expected == pytest.approx(shown, rel=0.03)


def test_what_is_hidden_from_all_views_and_what_one_view_sees():
    """Behind a wall seen from the front; a second camera looks at one of the hidden from behind."""
    wall, hidden, aside = [0.0, 0, 0], [0.0, 0, 0.3], [0.6, 0, 0.3]
    round_ = [0.02] * 3
    field = field_of([wall, hidden, aside], [[0.12] * 3, round_, round_], [0.99, 0.9, 0.9])
    front = Pose(torch.eye(3)[None], torch.tensor([[0.0, 0, -2]]))
    seen = visible_shares(field, front, CAMERA)
    assert seen[0] > 0.9 and seen[2] > 0.9
    assert seen[1] < 0.05
    back = Pose(torch.diag(torch.tensor([-1.0, 1, -1]))[None], torch.tensor([[0.0, 0, 2]]))
    both = visible_shares(field, Pose.cat([front, back]), CAMERA)
    assert bool((both > 0.9).all())
