# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Covariances against scatter that was really measured."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import wall
from scipy.spatial.transform import Rotation

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.alignment import AlignmentConfig
from caldiff_ros.localization.correctness import nees, probability_of_right
from caldiff_ros.localization.covariance import (
    covariance_in_map,
    curvature_covariance,
    spread_covariance,
)
from caldiff_ros.localization.levenberg_marquardt import align_level


@pytest.mark.parametrize('patch_px', [1, 6], ids=['pixel noise', 'patchy noise'])
def test_it_predicts_the_scatter_of_noisy_images(scene, patch_px):
    """Across noisy copies of the query; noise in patches is where the plain curvature fails."""
    field, true, query = scene
    rng = np.random.default_rng(0)
    height, width = query.seen.shape
    level = replace(AlignmentConfig().levels[-1], iterations=6, min_step_px=0.05)
    errors = []
    for _ in range(16):
        noise = rng.normal(0, 8, (-(-height // patch_px), -(-width // patch_px), 3))
        noise = cv2.resize(noise, None, fx=patch_px, fy=patch_px, interpolation=cv2.INTER_NEAREST)[
            :height, :width
        ]
        noisy = (query.image + noise).clip(0, 255).astype(np.uint8)
        copy = type(query)(noisy, query.seen, query.camera, query.device)
        found = align_level(field, copy, true, level).T_norm_cam
        rendering = field.render(found, query.camera)
        covariance = curvature_covariance(rendering, copy, found)
        error = found[0].to(torch.float64).offset_to(true[0].to(torch.float64))
        errors.append(nees(error, covariance))
    assert 3 < np.mean(errors) < 14  # 6 if it is right


def test_where_nothing_is_seen_nothing_is_known(scene):
    """What is far away looks the same from everywhere, though not in every direction."""
    _, true, query = scene

    class Far(wall.Wall):
        def render_rays(self, origins, directions):
            rendering = super().render_rays(origins, directions)
            return replace(rendering, depth=1e9 * torch.ones_like(rendering.depth))

    covariance = curvature_covariance(Far().render(true, query.camera), query, true)
    position, turn = covariance[:3, :3], covariance[3:, 3:]
    torch.testing.assert_close(position, torch.eye(3).double(), rtol=0.01, atol=0.01)
    assert (turn.diagonal() < 1e-3).all()


def test_nees_is_that_of_the_normal_distribution():
    """Errors drawn from the covariance are chi-squared with 6 degrees: mean 6, variance 12."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(6, 6))
    covariance = 1e-6 * (A @ A.T + np.eye(6))
    found = Pose(
        torch.from_numpy(Rotation.random(random_state=1).as_matrix()), torch.ones(3).double()
    )
    deltas = torch.from_numpy(rng.multivariate_normal(np.zeros(6), covariance, size=2000))
    got = [nees(found.offset_to(found.retract(d)), torch.from_numpy(covariance)) for d in deltas]
    assert np.mean(got) == pytest.approx(6, abs=0.4)
    assert np.var(got) == pytest.approx(12, abs=2)


def test_spread_is_that_of_poses_that_do_as_well():
    """Two poses with the same error: each counts half, about the first one."""
    start = Pose(torch.eye(3).double()[None], torch.zeros(1, 3).double())
    delta = torch.tensor([[0.01, 0, 0, 0, 0.02, 0]]).double()
    poses = Pose.cat([start, start.retract(delta)])
    spread = spread_covariance(poses, torch.tensor([0.001, 0.001]), 100)
    torch.testing.assert_close(spread, 0.5 * delta.T @ delta, rtol=1e-3, atol=1e-9)
    worse = spread_covariance(poses, torch.tensor([0.001, 0.0011]), 100)
    share = (1 / 1.1) ** 50
    torch.testing.assert_close(worse, share / (1 + share) * delta.T @ delta, rtol=1e-3, atol=1e-9)
    assert float(spread_covariance(poses[:1], torch.tensor([0.001]), 100).abs().max()) == 0


def test_it_is_about_fixed_axes_in_map_units():
    """Against samples: perturb in camera axes, express as rotations about the map's axes."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(6, 6))
    covariance = 1e-6 * (A @ A.T + np.eye(6))
    R = Rotation.random(random_state=1)
    pose = Pose(torch.from_numpy(R.as_matrix()), torch.zeros(3).double())
    got = covariance_in_map(torch.from_numpy(covariance), pose, unit=4.0).numpy()
    deltas = rng.multivariate_normal(np.zeros(6), covariance, size=20000)
    turned = (R * Rotation.from_rotvec(deltas[:, 3:]) * R.inv()).as_rotvec()
    samples = np.concatenate([4.0 * deltas[:, :3], turned], axis=1)
    expected = np.cov(samples.T)
    scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    np.testing.assert_allclose(got / scale, expected / scale, atol=0.05)


@pytest.mark.parametrize(
    ('sigmas', 'angle_sigma'),
    [((0.02, 0.02, 0.02), 0.001), ((0.05, 0.001, 0.001), 0.001), ((0.001,) * 3, 0.1)],
)
def test_the_probability_of_a_right_pose_is_the_share_of_samples(sigmas, angle_sigma):
    covariance = torch.diag(torch.tensor([*sigmas, *[angle_sigma] * 3]).double() ** 2)
    errors = np.random.default_rng(0).multivariate_normal(np.zeros(6), covariance.numpy(), 20_000)
    distance, angle = (np.linalg.norm(part, axis=1) for part in (errors[:, :3], errors[:, 3:]))
    shares = (distance < 0.05).mean(), (angle < np.radians(10)).mean()
    assert probability_of_right(covariance) == pytest.approx(min(shares), abs=0.02)
