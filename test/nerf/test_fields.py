# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import math
from dataclasses import replace

import pytest
import torch
from blobs import CAMERA, Blobs, photographed, ring

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.bounds import (
    measured_surface,
    scene_bounds,
    silhouette_bounds,
    visual_hull,
)
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.factorized_training import FactorizedSize, FactorizedTraining
from caldiff_ros.mapping.field_training import FieldViews, psnr
from caldiff_ros.mapping.tiny_training import TinyNerfTraining
from caldiff_ros.mapping.training_loop import PlateauRule
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.factorized import FactorizedConfig, FactorizedField
from caldiff_ros.nerf.field import Rendering
from caldiff_ros.nerf.tiny import TinyNerf, TinyNerfConfig

BOX = torch.tensor([[-0.5] * 3, [0.5] * 3])
SMALL = FactorizedConfig(resolution=32, occupancy_resolution=32, near=0.0)
SMALL_SIZE = FactorizedSize(resolution=32, occupancy_resolution=32, near=0.0)


def fog(sigma: float) -> FactorizedField:
    """A field of constant density and mid-grey colour."""
    field = FactorizedField(SMALL, BOX, 'black')
    bias = math.log(math.expm1(SMALL.initial_optical_depth / 32))
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.zero_()
        # softplus(bias + 3 * D * a * b) / step = sigma
        wanted = math.log(math.expm1(sigma * field.occupancy.step)) - bias
        field.density_planes.fill_(1.0)
        field.density_lines.fill_(wanted / (3 * SMALL.density_components))
    return field


def test_constant_density_has_the_opacity_of_beer_lambert():
    field = fog(sigma=1.7)
    origins = torch.tensor([[-2.0, 0.0, 0.0], [-2.0, 0.1, 0.2], [0.0, 3.0, 0.0]])
    directions = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    out = field.requires_grad_(False).render_rays(origins, directions)
    assert out.opacity.tolist() == pytest.approx([1 - math.exp(-1.7)] * 2 + [0.0], abs=2e-2)
    # colour is grey times opacity on black; a ray that misses shows the background
    assert out.rgb[0].tolist() == pytest.approx([0.5 * (1 - math.exp(-1.7))] * 3, abs=2e-2)
    assert out.rgb[2].tolist() == [0.0, 0.0, 0.0]
    # mean depth of an exponential cut at length 1, from the entry at t = 1.5; half of it for a
    # direction twice as long
    mean = 1 / 1.7 - math.exp(-1.7) / (1 - math.exp(-1.7))
    assert out.depth[0] == pytest.approx(1.5 + mean, abs=2e-2)
    assert out.depth[1] == pytest.approx((1.5 + mean) / 2, abs=2e-2)


def test_twice_the_samples_have_a_quarter_of_the_error():
    """The mean depth in fog, by the midpoint rule: second order in the step."""
    field = fog(sigma=3.0).requires_grad_(False)  # thin: every sample is visible
    origin, direction = torch.tensor([[-2.0, 0.03, 0.01]]), torch.tensor([[1.0, 0.0, 0.0]])
    exact = 1.5 + 1 / 3 - math.exp(-3) / (1 - math.exp(-3))
    errors = [
        abs(float(field.render_rays(origin, direction, sampling).depth[0]) - exact)
        for sampling in (0.5, 1.0, 2.0)
    ]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_more_rays_than_are_rendered_at_once_keep_their_order():
    n = (1 << 15) + 7  # two parts on a CPU and some rays
    lengths = torch.linspace(1, 3, n)
    origins = torch.tensor([[-2.0, 0.03, 0.01]]).expand(n, 3)
    directions = lengths[:, None] * torch.tensor([[1.0, 0.0, 0.0]])
    with torch.no_grad():
        out = fog(sigma=1.7).render_rays(origins, directions)
    mean = 1 / 1.7 - math.exp(-1.7) / (1 - math.exp(-1.7))
    torch.testing.assert_close(out.depth, (1.5 + mean) / lengths, atol=2e-2, rtol=0)


def test_resampled_factors_hold_the_same_field_in_finer_cells():
    torch.manual_seed(0)
    field = FactorizedField(SMALL, BOX, 'black')
    field.resample(9)
    coarse = torch.rand(200, 3) - 0.5
    # a cell of 8 becomes two of 16: bilinear interpolation between the old corners and new ones,
    # which lie on it, is the same function along every plane and line
    before = field.density(coarse)
    field.resample(17)
    assert field.density_planes.shape[-2:] == (17, 17)
    assert field.color_lines.shape[-2:] == (17, 1)
    torch.testing.assert_close(field.density(coarse), before, rtol=1e-3, atol=1e-3)


def test_background_of_a_white_field():
    field = FactorizedField(SMALL, BOX, 'white')
    out = field.render_rays(torch.tensor([[0.0, 3.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    assert out.rgb.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize(
    'make_field',
    [
        lambda: FactorizedField(SMALL, BOX, 'white'),
        lambda: TinyNerf(TinyNerfConfig(depth=3, width=32, samples=16), BOX, 'white'),
    ],
    ids=['factorized', 'tiny'],
)
def test_gradient_to_the_rays(make_field):
    """Autograd against central differences, with the samples where they are.

    The step is so small because a ReLU that bends within it would falsify the difference.
    """
    field = make_field().double().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    origins = torch.randn(6, 3, generator=generator).double() * 0.02
    origins[:, 2] -= 0.5
    directions = torch.tensor([[0.0, 0.0, 1.0]]).double().expand(6, 3).clone()
    directions[:, :2] += 0.2 * torch.randn(6, 2, generator=generator).double()
    if isinstance(field, FactorizedField):
        samples = field.occupancy.sample(origins, directions, 0.0)
        field.occupancy.sample = lambda *args: samples
    rays = torch.cat([origins, directions], dim=1).requires_grad_()

    def value(x):
        out = field.render_rays(x[:, :3], x[:, 3:])
        return (out.rgb.sum(1) + out.depth * out.opacity).sum()

    value(rays).backward()
    for i, j in ((0, 0), (2, 1), (3, 4), (5, 2)):
        shift = torch.zeros_like(rays)
        shift[i, j] = 1e-8
        with torch.no_grad():
            numeric = (value(rays + shift) - value(rays - shift)) / 2e-8
        assert float(rays.grad[i, j]) == pytest.approx(float(numeric), rel=1e-3, abs=1e-6)


def test_images_are_rendered_row_by_row():
    field, poses = Blobs(), ring(2)
    image = field.render(poses, CAMERA)
    u, v = 30, 12
    direction = torch.tensor([[(u + 0.5 - 24) / 60, (v + 0.5 - 20) / 60, 1.0]])
    ray = field.render_rays(poses.t, (direction @ poses.R.mT)[:, 0])
    pixel = field.render_pixels(poses, CAMERA, torch.tensor([v * CAMERA.width + u]))
    assert torch.allclose(image.rgb[:, v, u], ray.rgb, atol=1e-6)
    assert torch.allclose(image.depth[:, v, u], ray.depth, atol=1e-6)
    assert torch.allclose(pixel.rgb[:, 0], ray.rgb, atol=1e-6)


def test_tiny_nerf_has_the_published_size():
    layers = TinyNerf(TinyNerfConfig(), BOX, 'white').layers
    assert [layer.out_features for layer in layers] == [256] * 8
    assert [layer.in_features for layer in layers] == [39, 256, 256, 256, 256, 295, 256, 256]


def test_training_learns_the_blobs(tmp_path):
    views, held_out = photographed(Blobs(), ring(16)), photographed(Blobs(), ring(4, phase=0.2))
    aabb = scene_bounds(views, None, None)
    training = FactorizedTraining(field=SMALL_SIZE, iterations=100, rays=1024)
    seen = []
    data = FieldViews(views=views, held_out=held_out, aabb=aabb, background='white')
    context = BuildContext(work=tmp_path, report=lambda *args: seen.append(args))
    field = training.train(data, context)
    assert psnr(field, held_out) > 24
    assert [args[1] for args in seen] == list(range(1, 101))
    assert ['psnr' in args[3] for args in seen] == [False] * 99 + [True]
    empty = psnr(FactorizedField(SMALL, aabb, 'white'), held_out)
    assert empty < 20


def test_colours_mend_depth_that_is_off():
    views = photographed(Blobs(), ring(12))
    out = Blobs().render(ring(12), CAMERA)
    solid = out.opacity > 0.99
    measured = replace(views, depth=torch.where(solid, out.depth + 0.03, 0))
    training = FactorizedTraining(field=SMALL_SIZE, iterations=80, rays=512, depth_weight=1.0)
    aabb = scene_bounds(views, None, None)
    data = FieldViews(views=measured, aabb=aabb, background='white')
    field = training.train(data, BuildContext())
    off = (field.render(ring(12), CAMERA).depth - out.depth)[solid].abs()
    assert off.median() < 0.015


def test_a_plain_wall_is_where_the_depth_says():
    """Its colour is the same from everywhere, so that nothing else tells."""
    t = 0.05 * torch.tensor([[x, y, 0.0] for x in range(-2, 3) for y in range(-2, 3)])
    poses = Pose(torch.eye(3).expand(len(t), 3, 3), t)
    shape = len(t), CAMERA.height, CAMERA.width
    wall = Views(
        CAMERA, poses, torch.full((*shape, 3), 0.4), None, torch.ones(shape).bool(),
        torch.full(shape, 0.4),
    )  # fmt: skip
    off = {}
    for weight in (0.1, 0.0):
        training = FactorizedTraining(
            field=SMALL_SIZE, iterations=80, rays=512, depth_weight=weight
        )
        data = FieldViews(views=wall, aabb=BOX, background='none')
        field = training.train(data, BuildContext())
        off[weight] = float((field.render(poses, CAMERA).depth - 0.4).abs().median())
    assert off[0.1] < 0.01 < 0.04 < off[0.0]


@pytest.mark.parametrize(
    'growth',
    [
        (),
        ((0.1, 0.5), (0.5, 1.0)),
        ((0.0, 0.5), (0.5, 0.8)),
        ((0.0, 1.0), (0.5, 0.5)),
        ((0.0, 0.0), (0.5, 1.0)),
        ((0.5, 0.5), (0.0, 1.0)),
        ((0.0, 0.5), (1.0, 1.0)),
    ],
)
def test_factors_must_grow_from_the_start_to_their_full_size(growth):
    with pytest.raises(CaldiffError, match='growth is'):
        FactorizedTraining(growth=growth)


@pytest.mark.parametrize('stop', [215, 415])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path, stop):
    views = photographed(Blobs(), ring(6))
    aabb = scene_bounds(views, None, None)
    # at 200 the first stage is over, at 400 the learning rate falls
    training = FactorizedTraining(
        field=SMALL_SIZE,
        iterations=430,
        convergence=PlateauRule(window=1000),
        rays=64,
        growth=((0.0, 0.25), (200 / 430, 0.5), (0.6, 1.0)),
    )

    def kill(stage, step, n, numbers):
        if step == stop:
            raise KeyboardInterrupt

    data = FieldViews(views=views, aabb=aabb, background='white')
    whole = training.train(data, BuildContext())
    with pytest.raises(KeyboardInterrupt):
        training.train(data, BuildContext(work=tmp_path, report=kill))
    steps = []
    resuming = BuildContext(
        work=tmp_path, report=lambda stage, step, n, numbers: steps.append(step)
    )
    resumed = training.train(data, resuming)
    assert steps[0] == stop - 14
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_tiny_nerf_trains_on_whole_images():
    views = photographed(Blobs(), ring(6))
    config = TinyNerfConfig(depth=3, width=64, samples=32)
    losses = []
    training = TinyNerfTraining(field=config, iterations=60, learning_rate=3e-3)
    data = FieldViews(views=views, aabb=BOX, background='white')
    training.train(
        data, BuildContext(report=lambda stage, step, n, numbers: losses.append(numbers['loss']))
    )
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


class Ball(Blobs):
    """A black ball of radius 0.1 around (0.05, 0, 0)."""

    def render_rays(self, origins, directions, sampling=1.0):
        offset = origins - torch.tensor([0.05, 0.0, 0.0])
        a = (directions**2).sum(-1)
        b = (offset * directions).sum(-1)
        discriminant = b**2 - a * ((offset**2).sum(-1) - 0.01)
        hit = (discriminant > 0).float()
        depth = (-b - discriminant.clamp_min(0).sqrt()) / a * hit
        return Rendering((1 - hit)[:, None].expand(-1, 3), depth, hit)


def test_visual_hull_holds_the_ball_and_little_more():
    views = photographed(Ball(), ring(24))
    aabb = scene_bounds(views, None, None)
    low, high = torch.tensor([-0.05, -0.1, -0.1]), torch.tensor([0.15, 0.1, 0.1])
    assert bool((aabb[0] < low).all()) and bool((aabb[1] > high).all())
    assert bool((aabb[0] > low - 0.06).all()) and bool((aabb[1] < high + 0.06).all())
    hull = visual_hull(views, BOX, 40)
    centers = FactorizedField(SMALL, BOX, 'white').occupancy.voxel_centers()
    assert len(centers) == 32**3
    steps = (torch.arange(40) + 0.5) / 40 - 0.5
    x, y, z = torch.meshgrid(steps, steps, steps, indexing='ij')
    distance = ((x - 0.05) ** 2 + y**2 + z**2).sqrt()
    assert bool(hull[distance < 0.095].all())
    assert not bool(hull[distance > 0.2].any())


def test_bounds_hold_what_lies_beyond_the_cameras_cube():
    """Cameras around and above a ball, as on a hemisphere: the cube around them misses it."""
    views = photographed(Ball(), ring(24))
    shift = torch.tensor([0.1, -0.2, -0.9])
    moved = Pose(views.T_norm_cam.R, views.T_norm_cam.t + shift)
    aabb = scene_bounds(replace(views, T_norm_cam=moved), None, None)
    torch.testing.assert_close(aabb, scene_bounds(views, None, None) + shift, atol=1e-3, rtol=0)


def test_silhouettes_at_the_edge_of_the_image_bound_nothing():
    views = photographed(Ball(), ring(24))
    tight = silhouette_bounds(views)
    ball = torch.tensor([[-0.05, -0.1, -0.1], [0.15, 0.1, 0.1]])
    assert bool((tight[0] < ball[0]).all()) and bool((tight[1] > ball[1]).all())
    torch.testing.assert_close(tight, ball, atol=0.06, rtol=0)
    # each camera sees the right half of the ball only: the planes through its left stay
    half = views.camera.width // 2
    cut = replace(views.camera, width=half)
    halves = silhouette_bounds(replace(views, camera=cut, alpha=views.alpha[..., :half]))
    torch.testing.assert_close(halves, tight, atol=0.02, rtol=0)
    # and where all pixels are covered, all that is in front of the cameras may belong to it
    filled = silhouette_bounds(replace(views, alpha=torch.ones_like(views.alpha)))
    assert bool((filled[0, :2] < -0.4).all()) and bool((filled[1, :2] > 0.4).all())


def test_silhouettes_of_nothing_in_common_are_explained():
    views = photographed(Ball(), ring(6))
    apart = views.T_norm_cam.t + 3.0 * torch.arange(6)[:, None]
    for wrong in (
        replace(views, alpha=torch.zeros_like(views.alpha)),
        replace(views, T_norm_cam=Pose(views.T_norm_cam.R, apart)),
    ):
        with pytest.raises(CaldiffError, match='6 training images have no point in common'):
            scene_bounds(wrong, None, None)


def test_depth_carves_the_space_in_front_of_the_ball():
    views = photographed(Ball(), ring(24))
    depth = Ball().render(ring(24), CAMERA).depth
    depth[depth == 0] = 0.9  # a wall behind, so that every pixel is measured
    measured = Views(views.camera, views.T_norm_cam, views.rgb, None, views.seen, depth)
    kept = measured_surface(measured, BOX, 40)
    steps = (torch.arange(40) + 0.5) / 40 - 0.5
    x, y, z = torch.meshgrid(steps, steps, steps, indexing='ij')
    distance = ((x - 0.05) ** 2 + y**2 + z**2).sqrt()
    shell = (distance > 0.09) & (distance < 0.1) & (z.abs() < 0.03)
    assert bool(kept[shell].all())
    outside = (distance > 0.16) & (distance < 0.2) & (z.abs() < 0.03)
    assert kept[outside].float().mean() < 0.02
