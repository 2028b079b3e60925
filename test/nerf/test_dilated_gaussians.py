# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussians that were trained without anti-aliasing: larger than they are, at one size."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from splat_reference import reference_splat

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField
from caldiff_ros.nerf.gpu_splatting import GaussianTensors, SplatCamera, blurred_shares
from caldiff_ros.nerf.level_of_detail import merged
from caldiff_ros.nerf.splatting import splat

CAMERA = Camera(64, 48, 60.0, 60.0, 31.0, 25.0)
NEAR = 0.1


def wall(n=400, seed=0, dtype=torch.float64):
    """Gaussians finer than the pixels of `CAMERA` about a wall at z = 2."""
    rng = torch.Generator().manual_seed(seed)
    means = torch.rand(n, 3, generator=rng, dtype=dtype) * torch.tensor([2.4, 1.8, 0.2]).to(dtype)
    return GaussianTensors(
        means + torch.tensor([-1.2, -0.9, 1.9], dtype=dtype),
        0.02 * torch.exp(0.5 * torch.randn(n, 3, generator=rng, dtype=dtype)),
        torch.randn(n, 4, generator=rng, dtype=dtype),
        torch.rand(n, generator=rng, dtype=dtype),
        torch.randn(n, 1, 3, generator=rng, dtype=dtype),
    )


def field_of(gaussians, focal_px, antialiased=False, shift=(0.0, 0.0)):
    config = GaussianConfig(
        count=len(gaussians.means),
        sh_degree=0,
        near=NEAR,
        focal_px=focal_px,
        antialiased=antialiased,
        shift=shift,
    )
    field = GaussianField(config, torch.tensor([[-1.0] * 3, [1.0] * 3]), 'black')
    means, scales, quaternions, opacities, harmonics = gaussians
    values = {
        'means': means,
        'log_scales': scales.log(),
        'quaternions': quaternions,
        'logits': opacities.logit(),
        'harmonics': harmonics,
    }
    field.load_state_dict({**field.state_dict(), **values})
    return field.requires_grad_(False).eval()


def unmerged(field, camera):
    """The image (H, W, 3) of all Gaussians."""
    field.train()
    return field.render(Pose.identity(1), camera).rgb[0]


@pytest.mark.parametrize(
    ('factor', 'dilation', 'blur'),
    [(1, 0.3, 0.0), (2, 0.3 / 4, 0.75 / 12), (0.5, 1.2, 0.0)],
    ids=['trained size', 'half', 'double'],
)
def test_images_of_all_sizes_are_those_of_the_reference(factor, dilation, blur):
    """At the trained size the filter of 3DGS, which takes no opacity; elsewhere as many pixels of
    the training, and the blur by which photographs that are reduced differ."""
    gaussians, camera = wall(), CAMERA.downscaled(factor)
    seen_with = field_of(gaussians, CAMERA.fx).seen_with(camera)
    shown = splat(gaussians, Pose.identity(1).to(dtype=torch.float64), seen_with)[0]
    pose = Pose.identity(1).to(dtype=torch.float64)[0]
    wanted = reference_splat(gaussians, pose, camera, NEAR, dilation, blur)
    assert wanted[:, 4].mean() > 0.2
    assert (shown - wanted).abs().max() < 2e-3


@pytest.mark.parametrize('factor', [2, 4])
def test_a_smaller_image_is_the_large_one_reduced(factor):
    """Better than with the filter of 3DGS in pixels of its own, which is for one size, and than
    with anti-aliasing, which would make the Gaussians fainter."""
    gaussians, small = wall(3000, dtype=torch.float32), CAMERA.downscaled(factor)
    field = field_of(gaussians, CAMERA.fx)
    full = unmerged(field, CAMERA)
    reduced = F.avg_pool2d(full.permute(2, 0, 1), factor).permute(1, 2, 0)

    def error(of):
        return float((unmerged(of, small) - reduced).square().mean().sqrt())

    ours = error(field)
    assert ours < 0.5 * error(field_of(gaussians, small.fx))
    assert ours < 0.5 * error(field_of(gaussians, CAMERA.fx, antialiased=True))


def test_fields_of_today_are_dilated_by_nothing():
    config = {'count': 5, 'sh_degree': 0, 'near': 0.1, 'focal_px': 60.0}  # as in maps until now
    field = GaussianField(GaussianConfig(**config), torch.zeros(2, 3), 'black')
    assert field.seen_with(CAMERA) == SplatCamera(CAMERA, 0.1, dilation=0.0, blur=0.3)
    assert not field.dilations.any()


def test_a_splat_whose_training_took_the_principal_point_for_the_centre():
    """It shows its photographs when it is asked as it was trained."""
    gaussians = wall(dtype=torch.float32)
    centred = replace(CAMERA, cx=32.0, cy=24.0)
    field = field_of(gaussians, CAMERA.fx, shift=(1 / 60, -1 / 60))
    as_trained = field_of(gaussians, CAMERA.fx).render(Pose.identity(1), centred)
    assert torch.allclose(field.render(Pose.identity(1), CAMERA).rgb, as_trained.rgb, atol=1e-5)
    half = field.seen_with(CAMERA.downscaled(2)).intrinsics
    assert (half.cx, half.cy) == pytest.approx((16.0, 12.0))


def test_merged_gaussians_have_the_mass_that_was_shown():
    """Opacity times area, with what the training added at its distance."""
    gaussians = wall(50)
    dilations = torch.full((50,), 0.05, dtype=torch.float64)
    one, group = merged(gaussians, torch.full((50,), 1e3).double(), dilations)

    def shown(some):
        two = (some.scales**2 + 0.05**2).sort(dim=1).values[:, 1:]
        return some.opacities * two.prod(1).sqrt()

    sums = torch.zeros(len(one.means)).double().index_add(0, group, shown(gaussians))
    held = one.opacities == 0.99  # the most
    assert (~held).any()
    assert torch.allclose(shown(one)[~held], sums[~held])


def test_what_blur_leaves_on_a_gpu_is_the_ratio_of_the_determinants():
    rng = torch.Generator().manual_seed(0)
    root = torch.randn(20, 2, 2, generator=rng, dtype=torch.float64)
    sharp = root @ root.mT + 0.075 * torch.eye(2)
    blurred = sharp + 0.06 * torch.eye(2)
    inverse = torch.linalg.inv(blurred)
    conics = torch.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], dim=-1)
    wanted = (torch.linalg.det(sharp) / torch.linalg.det(blurred)).sqrt()
    assert torch.allclose(blurred_shares(conics, 0.06), wanted)
    assert torch.equal(blurred_shares(conics, 0.0), torch.ones(20).double())
