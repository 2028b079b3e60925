# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where particles and training views come from, and which particles go on."""

import numpy as np
import pytest
import torch
from blobs import look_at, ring
from scipy import stats

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.particles import uniform_particles
from caldiff_ros.localization.selection import SelectionConfig, select
from caldiff_ros.mapping.rendered_views import (
    RenderedViewsConfig,
    poses_around,
    vertical,
)

SMALL = Camera(24, 20, 30.0, 30.0, 12.0, 10.0)


def test_particles_fill_cube_and_rotations_evenly():
    particles = uniform_particles(4000, torch.Generator().manual_seed(0))
    for axis in range(3):
        position = particles[:, axis].numpy()
        assert stats.kstest(position, stats.uniform(-0.5, 1).cdf).pvalue > 1e-3
    torch.testing.assert_close(particles[:, 3:].norm(dim=1), torch.ones(4000))
    # The angle of a uniform rotation has the density (1 - cos a) / pi, and so it has to
    # any fixed rotation.
    pose = Pose.from_quaternion(particles[:, 3:], particles[:, :3])
    for reference in (torch.eye(3), pose.R[0]):
        angle = np.radians(
            Pose(reference, torch.zeros(3)).rotation_error_deg(pose[1:]).double().numpy()
        )
        result = stats.kstest(angle, lambda a: (a - np.sin(a)) / np.pi)
        assert result.pvalue > 1e-3


def test_particles_repeat_with_the_seed():
    first, same, other = (
        uniform_particles(10, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_views_lie_around_the_cameras():
    cameras = ring(12)
    config = RenderedViewsConfig(position_jitter=0.0, rotation_jitter_deg=0.0, neighbors=2)
    poses = poses_around(cameras, 200, config, torch.Generator().manual_seed(0))
    torch.testing.assert_close(poses.R @ poses.R.transpose(1, 2), torch.eye(3).expand(200, 3, 3))
    # every camera of the ring looks at the origin from 0.5 to 0.6, and so do the views
    assert float((poses.inverse().t[:, :2]).norm(dim=1).max()) < 0.05
    assert 0.4 < float(poses.t.norm(dim=1).min()) < float(poses.t.norm(dim=1).max()) < 0.7
    jittered = RenderedViewsConfig(position_jitter=0.02, rotation_jitter_deg=5.0, neighbors=2)
    moved = poses_around(cameras, 200, jittered, torch.Generator().manual_seed(0))
    assert float((moved.t - poses.t).std()) == pytest.approx(0.02, rel=0.15)
    # the length of a vector of three normal numbers has the mean sigma * sqrt(8 / pi)
    angle = float(moved.rotation_error_deg(poses).mean())
    assert angle == pytest.approx(5 * np.sqrt(8 / np.pi), rel=0.1)


def test_views_lead_beyond_the_cameras():
    """Three cameras on a quarter of a circle: views reach as far beyond it on either side."""
    angle = torch.tensor([0.0, 0.7, 1.4])
    cameras = look_at(0.5 * torch.stack([angle.cos(), angle.sin(), 0 * angle], dim=1))
    config = RenderedViewsConfig(position_jitter=0.0, rotation_jitter_deg=0.0, neighbors=2)
    poses = poses_around(cameras, 500, config, torch.Generator().manual_seed(0))
    torch.testing.assert_close(poses.t.norm(dim=1), torch.full((500,), 0.5))
    seen = torch.atan2(poses.t[:, 1], poses.t[:, 0])
    assert float(seen.min()) < -0.5
    assert float(seen.max()) > 1.9


def test_views_lead_all_around_what_cameras_show():
    """Three cameras on a quarter of a circle about the origin, at a height and tilted down."""
    angle = torch.tensor([0.0, 0.7, 1.4])
    height = torch.full((3,), 0.3)
    cameras = look_at(torch.stack([0.4 * angle.cos(), 0.4 * angle.sin(), height], dim=1))
    config = RenderedViewsConfig(
        position_jitter=0.0, rotation_jitter_deg=0.0, reach=0.0, orbit_share=0.5
    )
    distances = torch.full((3,), 0.5)
    poses = poses_around(cameras, 1000, config, torch.Generator().manual_seed(0), distances)
    # wherever a view is, it looks at the origin from the same distance and height, upright
    torch.testing.assert_close(poses.inverse().t, torch.tensor([0.0, 0.0, 0.5]).expand(1000, 3))
    torch.testing.assert_close(poses.t[:, 2], height[:1].expand(1000), atol=2e-3, rtol=0)
    assert float(poses.R[:, 2, 0].abs().max()) < 5e-3
    azimuth = torch.atan2(poses.t[:, 1], poses.t[:, 0])
    led = azimuth[torch.stack([(azimuth - a).abs() > 1e-4 for a in angle]).all(0)]
    assert len(led) == pytest.approx(500, abs=50)
    assert stats.kstest(led.numpy(), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3


def test_vertical_of_cameras_held_upright():
    tilted = [[1.0, 0.0, 0.9], [0.0, 0.7, 0.1], [0.5, 0.5, -0.3], [0.3, -0.2, 0.6]]
    about = vertical(look_at(torch.tensor(tilted)))
    torch.testing.assert_close(about, torch.tensor([0.0, 0.0, 1.0]), atol=2e-3, rtol=0)
    # cameras that look the same way, level: their own upward axis
    same = Pose(torch.eye(3).repeat(4, 1, 1), torch.zeros(4, 3))
    torch.testing.assert_close(vertical(same), torch.tensor([0.0, -1.0, 0.0]))


def poses_at(*positions):
    return Pose(torch.eye(3).repeat(len(positions), 1, 1), torch.tensor(positions))


def test_selection_takes_the_best():
    poses = poses_at([0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0], [0.3, 0, 0])
    errors = torch.tensor([0.4, 0.1, 0.3, 0.2])
    assert select(poses, errors, SelectionConfig(count=3)).tolist() == [1, 3, 2]
    assert select(poses, errors, SelectionConfig(count=9)).tolist() == [1, 3, 2, 0]


def test_selection_drops_copies_only():
    turned = poses_at([0.0, 0, 0], [0.01, 0, 0], [0.01, 0, 0])
    turned.R[2] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    errors = torch.tensor([0.1, 0.2, 0.3])
    distinct = SelectionConfig(count=3, min_distance=0.03, min_angle_deg=4.0)
    assert select(turned, errors, distinct).tolist() == [0, 2]
    assert select(turned, errors, SelectionConfig(count=3)).tolist() == [0, 1, 2]
