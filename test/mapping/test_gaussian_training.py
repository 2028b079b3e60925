# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussians learn what images show: where they start, how they grow, what they lose."""

from dataclasses import replace

import pytest
import torch
from blobs import CAMERA, Blobs, photographed, ring
from wall import Wall

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.mapping.bounds import scene_bounds
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.field_training import FieldViews, psnr
from caldiff_ros.mapping.gaussian_growth import Growth, GrowthConfig
from caldiff_ros.mapping.gaussian_training import GaussianTrainer, GaussianTraining
from caldiff_ros.mapping.image_loss import image_loss, ssim
from caldiff_ros.mapping.starting_points import starting_points
from caldiff_ros.mapping.training_loop import TrainingSchedule, train
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField

BOX = torch.tensor([[-0.5] * 3, [0.5] * 3])
SHORT = GaussianTraining(iterations=500, iterations_per_view=0, start_points=1500)


def data_of(views, **changes) -> FieldViews:
    aabb = scene_bounds(views, None, None) if views.alpha is not None else BOX
    return FieldViews(**{'views': views, 'aabb': aabb, 'background': 'white', **changes})


def facing_wall(n=25) -> tuple[Wall, Views]:
    """Photographs of a textured wall at z = 0 from 0.5 away, shifted side by side."""
    side = int(n**0.5)
    t = 0.08 * torch.tensor([[x, y, 0.0] for x in range(side) for y in range(side)])
    t = t - t.mean(0) - torch.tensor([0.0, 0, 0.5])
    poses = Pose(torch.eye(3).expand(n, 3, 3), t)
    camera = Camera(160, 120, 150.0, 150.0, 80.0, 60.0)
    wall = Wall(cells=60)
    rgb = wall.render(poses, camera).rgb.clamp(0, 1)
    return wall, Views(camera, poses, rgb, None, torch.ones(rgb.shape[:3]).bool(), None)


def at(centers) -> Pose:
    """Cameras at (V, 3)."""
    return Pose(torch.eye(3).expand(len(centers), 3, 3), centers)


def test_training_learns_the_blobs():
    views, held_out = photographed(Blobs(), ring(16)), photographed(Blobs(), ring(4, phase=0.2))
    told = []
    context = BuildContext(report=lambda *progress: told.append(progress))
    field = SHORT.train(data_of(views, held_out=held_out), context)
    assert psnr(field, held_out) > 26
    steps = [progress for progress in told if progress[0] == 'field']
    assert [step for _, step, _, _ in steps] == list(range(1, 501))
    assert ['psnr' in numbers for *_, numbers in steps] == [False] * 499 + [True]
    assert steps[-1][3]['psnr'] == pytest.approx(psnr(field, held_out, 4))
    empty = GaussianField(replace(field.config, count=0), BOX, 'white')
    assert psnr(empty, held_out) < 20
    # smaller images, of fewer and merged Gaussians, are those of the blobs as well
    exact = Blobs().render(held_out.T_norm_cam, CAMERA.resized(192, 160)).rgb
    for factor in (2, 4):
        camera = CAMERA.downscaled(factor)
        size = camera.height, camera.width
        reduced = torch.nn.functional.adaptive_avg_pool2d(exact.permute(0, 3, 1, 2), size)
        errors = []
        for focal_px in (CAMERA.fx, 0.0):
            field.focal_px = focal_px
            shown = field.render(held_out.T_norm_cam, camera).rgb.permute(0, 3, 1, 2)
            errors.append(float(((shown - reduced) ** 2).mean()))
        assert errors[0] < min(1.2 * errors[1], 0.004)
        field.focal_px = CAMERA.fx

    # and its depth is that of the blobs, which nothing has told it
    exact = Blobs().render(held_out.T_norm_cam, CAMERA)
    solid = exact.opacity > 0.95
    shown = field.render(held_out.T_norm_cam, CAMERA)
    assert (shown.depth - exact.depth)[solid].abs().median() < 0.02


@pytest.mark.parametrize('stop', [60, 110])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(GaussianTrainer, 'checkpoint_interval', 25)
    growth = GrowthConfig(interval=20, start=20, gradient=1e-5)
    training = replace(SHORT, iterations=120, start_points=300, growth=growth)
    data = data_of(photographed(Blobs(), ring(6)))
    whole = training.train(data, BuildContext())
    assert len(whole.means) > 300

    def stop_there(stage, step, *_):
        if step == stop and stage == 'field':
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(data, BuildContext(work=tmp_path, report=stop_there))
    steps = []
    resuming = BuildContext(
        work=tmp_path, report=lambda stage, step, *_: steps.append((stage, step))
    )
    resumed = training.train(data, resuming)
    assert next(step for stage, step in steps if stage == 'field') == stop // 25 * 25 + 1
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_plain_wall_is_where_the_depth_says():
    """Its colour is the same from everywhere, so that nothing else tells."""
    t = 0.05 * torch.tensor([[x, y, 0.0] for x in range(-2, 3) for y in range(-2, 3)])
    poses = Pose(torch.eye(3).expand(len(t), 3, 3), t)
    shape = len(t), CAMERA.height, CAMERA.width
    views = Views(
        CAMERA, poses, torch.full((*shape, 3), 0.4), None, torch.ones(shape).bool(),
        torch.full(shape, 0.4),
    )  # fmt: skip
    training = replace(SHORT, exact_depth=True, depth_weight=0.1)
    field = training.train(data_of(views, background='none'), BuildContext())
    out = field.render(poses, CAMERA)
    assert float((out.depth - 0.4).abs().median()) < 0.01
    assert float(out.opacity.quantile(0.1)) > 0.9


def test_growth_adds_where_gradients_are_large_and_removes_what_is_not_seen():
    config = GaussianConfig(count=5, sh_degree=0, near=0.1, focal_px=60.0)
    field = GaussianField(config, BOX, 'white')
    with torch.no_grad():
        field.means.copy_(torch.arange(15.0).view(5, 3))
        # small, small, large, invisible, as large as the scene
        field.log_scales.copy_(
            torch.tensor([1e-3, 1e-3, 0.1, 1e-3, 5.0]).log()[:, None].expand(5, 3)
        )
        field.logits.copy_(torch.tensor([2.0, 2.0, 2.0, -9.0, 2.0]))
    optimizer = torch.optim.Adam(field.parameters(), lr=0.1)
    for value in field.parameters():
        value.grad = torch.ones_like(value)
    optimizer.step()
    before = field.means.detach().clone()
    beside = at(before + torch.tensor([1.0, 0, 0]))
    growth = Growth(GrowthConfig(), field, beside, 100, torch.Generator().manual_seed(0))
    growth.observe(torch.tensor([[1.0, 0], [0, 0], [0, 1.0], [1, 1], [1, 1]]) / 100, 48, 40)
    growth.grow(optimizer)
    # the first twice, the second, and two smaller ones instead of the third
    assert len(field.means) == 5
    assert torch.equal(field.means[:2], before[:2]) and torch.equal(field.means[2], before[0])
    halves = field.log_scales.detach()[3:]
    assert torch.allclose(halves.exp(), torch.full((2, 3), 0.1 / 1.6), rtol=0.2)
    assert ((field.means[3:] - before[2]).norm(dim=1) < 0.6).all()
    # the optimizer knows the first moment of those that remain, and nothing of the new ones
    moments = optimizer.state[field.means]['exp_avg']
    assert (moments[:2] != 0).all() and (moments[2:] == 0).all()
    assert optimizer.param_groups[0]['params'][0] is field.means


def test_what_is_far_may_be_large_and_moves_in_long_steps():
    """A street of kilometres is seen beyond a chair: each has the precision that images give it."""
    camera = Camera(48, 40, 60.0, 60.0, 24.0, 20.0)
    views = Views(
        camera, at(torch.zeros(1, 3)), torch.rand(1, 40, 48, 3), None, torch.ones(1, 40, 48).bool(),
        None,
    )  # fmt: skip
    field = GaussianField(
        GaussianConfig(count=2, sh_degree=0, near=0.1, focal_px=60.0), BOX, 'none'
    )
    depths = torch.tensor([0.5, 50.0])
    with torch.no_grad():
        field.means[:, 2] = depths
        field.log_scales.copy_(torch.tensor([0.1, 10.0]).log()[:, None].expand(2, 3))
    trainer = GaussianTrainer(SHORT, field, data_of(views, background='none'), 1.0, BuildContext())
    context = BuildContext()
    train(trainer, TrainingSchedule(None, 1), context, context.checkpoint('field'))
    moved = (field.means.detach() - torch.tensor([[0.0, 0, 0.5], [0, 0, 50]])).abs()
    # Adam's first step is the learning rate, whatever the gradient
    expected = SHORT.means_learning_rate * depths[:, None].expand(2, 3)
    assert torch.allclose(moved, expected, rtol=0.02)

    optimizer = torch.optim.Adam(field.parameters())
    growth = Growth(GrowthConfig(), field, views.T_norm_cam, 9, torch.Generator())
    growth.grow(optimizer)
    assert len(field.means) == 2
    with torch.no_grad():
        field.log_scales[0] = 0.0  # twice as large as its distance
    growth.grow(optimizer)
    assert field.means[:, 2].tolist() == pytest.approx([50], rel=0.01)


def test_growth_stays_within_its_budget():
    field = GaussianField(
        GaussianConfig(count=50, sh_degree=0, near=0.1, focal_px=60.0), BOX, 'white'
    )
    with torch.no_grad():
        field.log_scales.fill_(-6)
    away = at(torch.tensor([[0.0, 0, 1]]))
    growth = Growth(GrowthConfig(), field, away, 60, torch.Generator().manual_seed(0))
    gradient = torch.linspace(1, 2, 50)[:, None].expand(50, 2)
    growth.observe(gradient, 48, 40)
    means = field.means.detach() + torch.arange(50)[:, None]
    with torch.no_grad():
        field.means.copy_(means)
    growth.grow(torch.optim.Adam(field.parameters()))
    assert len(field.means) == 60
    # those of the largest gradients
    assert sorted(field.means[50:, 0].tolist()) == list(range(40, 50))


def test_a_training_that_diverges_is_explained():
    views = photographed(Blobs(), ring(4))
    wild = replace(SHORT, means_learning_rate=float('inf'))
    with pytest.raises(CaldiffError, match=r'diverged at step \d+, .* lower the learning rates'):
        wild.train(data_of(views), BuildContext())


@pytest.mark.parametrize('color', [0.0, 0.5, 1.0])
def test_images_of_one_colour_and_only_two_of_them(color):
    rgb = torch.full((2, 40, 48, 3), color)
    views = Views(CAMERA, ring(2), rgb, None, torch.ones(2, 40, 48).bool(), None)
    field = replace(SHORT, iterations=30).train(data_of(views, background='none'), BuildContext())
    assert torch.isfinite(field.render(ring(2), CAMERA).rgb).all()


@pytest.mark.parametrize('known', ['silhouettes', 'depth'])
def test_what_is_not_seen_changes_nothing(known):
    views = photographed(Blobs(), ring(6))
    seen = views.seen.clone()
    seen[:, 25:] = False
    masked = replace(views, seen=seen)
    if known == 'depth':
        depth = torch.where(seen, torch.full(seen.shape, 0.5), 0.0)
        masked = replace(masked, alpha=None, depth=depth)
    garbage = masked.rgb.clone()
    garbage[:, 25:] = torch.rand(garbage[:, 25:].shape)
    brief = replace(SHORT, iterations=40)
    background = 'none' if known == 'depth' else 'white'
    fields = [
        brief.train(data_of(replace(masked, rgb=rgb), background=background), BuildContext())
        for rgb in (masked.rgb, garbage)
    ]
    for first, second in zip(fields[0].parameters(), fields[1].parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_measured_depth_and_silhouettes_are_preferred():
    exact = Blobs().render(ring(8), CAMERA)
    views = photographed(Blobs(), ring(8))
    depth = torch.where(exact.opacity > 0.99, exact.depth, 0.0)
    measured = starting_points(replace(views, depth=depth), BOX, 400, BuildContext())
    assert measured.source == 'measured depth' and len(measured) == 400
    inside = starting_points(views, scene_bounds(views, None, None), 400, BuildContext())
    assert inside.source == 'inside the silhouettes' and len(inside) == 400
    # the blobs lie within 0.26 or so; between the silhouettes of eight views there is some space
    assert float(measured.xyz.norm(dim=-1).max()) < 0.36
    assert float(inside.xyz.norm(dim=-1).max()) < 0.5


def test_where_nothing_is_known_points_are_random():
    rgb = torch.full((4, 40, 48, 3), 0.3)
    views = Views(CAMERA, ring(4), rgb, None, torch.ones(4, 40, 48).bool(), None)
    points = starting_points(views, BOX, 300, BuildContext())
    assert points.source == 'random, as there are only 0 points'
    assert (points.xyz >= -0.5).all() and (points.xyz <= 0.5).all()


def test_the_loss_and_its_gradient_are_pytorchs():
    rng = torch.Generator().manual_seed(0)
    image, target = torch.rand(2, 23, 31, 3, generator=rng, dtype=torch.float64)
    image.requires_grad_()
    weight = (torch.rand(23, 31, generator=rng) > 0.2).double()
    loss = image_loss(image, target, weight, 0.2)
    loss.backward()
    gradient, image.grad = image.grad, None
    total = 3 * weight.sum()
    similar = ssim(image, target)
    expected = (
        0.8 * ((image - target).abs() * weight[..., None]).sum()
        + 0.2 * ((1 - similar) * weight[..., None]).sum()
    ) / total
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, image.grad)


def test_the_similarity_is_scikit_images_formula_in_a_flat_window():
    """Of constant images only the luminance term is left: (2 a b + C1) / (a^2 + b^2 + C1)."""
    a, b = torch.full((30, 30, 3), 0.2), torch.full((30, 30, 3), 0.6)
    middle = ssim(a, b)[15, 15]
    expected = (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)
    assert middle.tolist() == pytest.approx([expected] * 3, rel=1e-3)
