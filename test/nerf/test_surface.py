# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from blobs import CAMERA, Blobs, ring

from caldiff_ros.nerf.field import RayField, Rendering
from caldiff_ros.nerf.surface import surface_points


class Sphere(RayField):
    """An opaque ball around the origin, red where z is positive and blue below."""

    kind, background = 'sphere', 'white'
    radius = 0.2

    def render_rays(self, origins, directions):
        a = (directions**2).sum(-1)
        b = (origins * directions).sum(-1)
        c = (origins**2).sum(-1) - self.radius**2
        inside = (b * b - a * c).clamp_min(0)
        hit = (b * b - a * c > 0).float()
        depth = hit * (-b - inside.sqrt()) / a
        up = (origins + depth[:, None] * directions)[:, 2:] > 0
        rgb = torch.where(up, torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0]))
        return Rendering(rgb, depth, hit)


def test_points_lie_on_the_surface_in_its_colours():
    points, rgb = surface_points(Sphere(), ring(8), CAMERA, 400)
    assert points.dtype == np.float32 and rgb.dtype == np.uint8
    assert 200 < len(points) == len(rgb) <= 400
    distance = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(distance, Sphere.radius, atol=0.01)  # a mean is a little inside
    clear = np.abs(points[:, 2]) > 0.05
    np.testing.assert_array_equal(rgb[clear, 0] > 128, points[clear, 2] > 0)


def test_points_are_evenly_spread():
    points, _ = surface_points(Sphere(), ring(8), CAMERA, 400)
    distances = np.linalg.norm(points[:, None] - points, axis=-1) + np.eye(len(points))
    nearest = distances.min(axis=1)
    assert np.percentile(nearest, 10) > 0.2 * np.median(nearest)


def test_mist_gives_no_points_and_no_error():
    class Mist(Sphere):
        radius = 0.0

    points, rgb = surface_points(Mist(), ring(3), CAMERA, 100)
    assert points.shape == rgb.shape == (0, 3)


@pytest.mark.parametrize('n', [1, 10, 5000])
def test_never_more_points_than_asked_for(n):
    points, _ = surface_points(Blobs(), ring(4), CAMERA, n)
    assert 0 < len(points) <= n
    assert np.abs(points).max() < 0.3  # within the scene


def test_it_can_be_ended():
    class Ended(Exception):  # noqa: N818
        pass

    def end():
        raise Ended

    with pytest.raises(Ended):
        surface_points(Blobs(), ring(4), CAMERA, 100, end)
