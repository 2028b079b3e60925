# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import scipy.linalg
import torch

from caldiff_ros.geometry.screw import screw_exp, screw_log


def generator_matrix(twist):
    """The 4x4 matrix whose exponential is the motion."""
    x, y, z = twist[3:]
    M = np.zeros((4, 4))
    M[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    M[:3, 3] = twist[:3]
    return M


@pytest.mark.parametrize('angle', [0.0, 1e-6, 1e-3, 0.5, 2.0, 3.1])
def test_exponential_is_that_of_the_matrix(angle):
    rng = np.random.default_rng(0)
    axis = rng.normal(size=3)
    twist = np.concatenate([rng.normal(size=3), angle * axis / np.linalg.norm(axis)])
    pose = screw_exp(torch.from_numpy(twist))
    np.testing.assert_allclose(
        pose.matrix().numpy(), scipy.linalg.expm(generator_matrix(twist)), atol=1e-9
    )
    np.testing.assert_allclose(screw_log(pose).numpy(), twist, atol=1e-7)


def test_half_a_screw_twice_is_the_whole():
    twist = torch.tensor([[0.3, -0.2, 0.5, 0.4, 1.1, -0.6], [0.0, 0.1, 0.0, 0.0, 0.0, 0.0]])
    half, whole = screw_exp(twist / 2), screw_exp(twist)
    torch.testing.assert_close((half @ half).matrix(), whole.matrix())
