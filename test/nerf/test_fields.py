# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
import torch
from blobs import CAMERA, Blobs, photographed, ring

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.bounds import (
    scene_bounds,
    silhouette_bounds,
    visual_hull,
)
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.field_training import FieldViews
from caldiff_ros.mapping.tiny_training import TinyNerfTraining
from caldiff_ros.nerf.field import Rendering
from caldiff_ros.nerf.tiny import TinyNerf, TinyNerfConfig

BOX = torch.tensor([[-0.5] * 3, [0.5] * 3])


def test_gradient_to_the_rays():
    """Autograd against central differences.

    The step is so small because a ReLU that bends within it would falsify the difference.
    """
    field = TinyNerf(TinyNerfConfig(depth=3, width=32, samples=16), BOX, 'white')
    field = field.double().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    origins = torch.randn(6, 3, generator=generator).double() * 0.02
    origins[:, 2] -= 0.5
    directions = torch.tensor([[0.0, 0.0, 1.0]]).double().expand(6, 3).clone()
    directions[:, :2] += 0.2 * torch.randn(6, 2, generator=generator).double()
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

    def render_rays(self, origins, directions):
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
