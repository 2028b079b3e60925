# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization import Prior
from maps import make_map


def pose(rotation, position):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation.as_matrix(), position
    return T


def test_particles_have_the_prior_as_their_distribution():
    """About the map's axes and in its units, through scale and turn of the map."""
    T_map_scene = pose(Rotation.from_euler('xyz', [0.3, -0.5, 1.0]), [4.0, 5.0, 6.0])
    place = make_map(scale=0.4, T_map_scene=T_map_scene)
    mean = pose(Rotation.random(random_state=1), [4.1, 5.2, 6.3])
    A = np.random.default_rng(0).normal(size=(6, 6))
    covariance = 1e-4 * (A @ A.T + np.eye(6))
    generator = torch.Generator().manual_seed(0)
    poses = place.to_map(Prior(mean, covariance).sample(20000, place, generator))
    np.testing.assert_allclose(poses[0], mean, atol=1e-5)  # the guess itself is among them
    turned = Rotation.from_matrix(poses[:, :3, :3] @ mean[:3, :3].T).as_rotvec()
    samples = np.concatenate([poses[:, :3, 3] - mean[:3, 3], turned], axis=1)
    scale = np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))
    np.testing.assert_allclose(np.cov(samples.T) / scale, covariance / scale, atol=0.05)


def test_a_prior_that_is_certain_gives_one_pose():
    place, mean = make_map(), pose(Rotation.random(random_state=2), [1.0, 2.0, 3.0])
    sampled = Prior(mean, np.zeros((6, 6))).sample(3, place, torch.Generator())
    np.testing.assert_allclose(place.to_map(sampled), np.stack([mean] * 3), atol=1e-5)


@pytest.mark.parametrize(
    ('T', 'covariance', 'reason'),
    [
        (np.full((4, 4), np.nan), np.eye(6), 'no rigid transform'),
        (np.diag([2.0, 2, 2, 1]), np.eye(6), 'no rigid transform'),
        (np.diag([1.0, 1, -1, 1]), np.eye(6), 'no rigid transform'),
        (np.eye(4), -np.eye(6), 'without negative eigenvalues'),
        (np.eye(4), np.full((6, 6), np.inf), 'finite numbers'),
        (np.eye(4), np.triu(np.ones((6, 6))), 'symmetric'),
    ],
    ids=['nan', 'scaled', 'mirrored', 'negative', 'infinite', 'one-sided'],
)
def test_what_is_no_prior_is_refused(T, covariance, reason):
    with pytest.raises(CaldiffError, match=reason):
        Prior(T, covariance)
