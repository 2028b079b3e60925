# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A splat in another frame shows the same from there."""

import numpy as np
import pytest
import torch
from blobs import ring
from scipy.spatial.transform import Rotation
from splat_files import GAUSSIAN, gaussian_ply, shown, some_splat
from splat_reference import sh_basis

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.splats.harmonics import rotated_harmonics
from caldiff_ros.splats.reading import read_splat

R = Rotation.from_euler('xyz', [0.4, -1.2, 2.1]).as_matrix()
SCALE, SHIFT = 2.5, np.array([3.0, -1.0, 0.5])


def similarity(scale=SCALE, R=R, t=SHIFT):
    S = np.eye(4)
    S[:3, :3], S[:3, 3] = scale * R, t
    return S


@pytest.mark.parametrize('degree', [0, 1, 2, 3])
def test_colors_turn_with_the_harmonics(degree):
    harmonics = some_splat(5, degree).harmonics.astype(float)
    directions = np.random.default_rng(1).normal(size=(40, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def colors(harmonics, directions):
        basis = sh_basis(torch.from_numpy(directions)).numpy()[:, : (degree + 1) ** 2]
        return np.einsum('mk,nkc->nmc', basis, harmonics)

    rotated = rotated_harmonics(harmonics, R)
    expected = colors(harmonics, directions)
    np.testing.assert_allclose(colors(rotated, directions @ R.T), expected, atol=1e-12)
    if degree:
        assert np.abs(colors(harmonics, directions @ R.T) - expected).max() > 0.1


def test_a_quarter_turn_by_hand(tmp_path):
    # about z: x becomes y and y becomes -x; the harmonics of degree 1 are -y, z and -x
    (tmp_path / 'scene.ply').write_bytes(gaussian_ply({**GAUSSIAN, 'rot_3': 0.0}))
    S = np.array([[0, -2, 0, 10], [2, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])
    turned = read_splat(tmp_path / 'scene.ply').transformed(S)
    np.testing.assert_allclose(turned.means, [[10 + 4, 2, 6]], atol=1e-6)
    np.testing.assert_allclose(turned.log_scales, [np.log(2) - [3, 4, 5]], rtol=1e-6)
    np.testing.assert_allclose(turned.quaternions, [[0.5**0.5, 0, 0, 0.5**0.5]], atol=1e-6)
    red = [0.5, 0.375, 0.25, -0.125]  # it was 0.125, 0.25, 0.375
    np.testing.assert_allclose(turned.harmonics[0, :, 0], red, atol=1e-6)
    np.testing.assert_array_equal(turned.logits, [0.75])


@pytest.mark.parametrize('degree', [0, 3])
def test_renders_are_equal(degree):
    splat = some_splat(degree=degree, antialiased=True)
    poses = ring(3)
    moved = Pose(
        torch.from_numpy(R).float() @ poses.R,
        torch.from_numpy(SCALE * poses.t.numpy() @ R.T + SHIFT).float(),
    )
    transformed = splat.transformed(similarity())
    there = shown(transformed, moved, near=0.01 * SCALE)
    there[..., 3] /= SCALE  # depth
    np.testing.assert_allclose(there, shown(splat, poses), atol=2e-4)
    assert transformed.antialiased
    assert transformed.means.dtype == transformed.log_scales.dtype == np.float32
    assert transformed.quaternions.dtype == transformed.harmonics.dtype == np.float32


@pytest.mark.parametrize(
    'S',
    [
        np.diag([1.0, 1, -1, 1]),  # a mirror
        np.diag([1.0, 2, 1, 1]),
        np.zeros((4, 4)),
        np.full((4, 4), np.nan),
        np.eye(3),
        np.ones((4, 4)),
    ],
)
def test_what_is_no_similarity(S):
    with pytest.raises(CaldiffError, match='is not a similarity, expected a 4x4 matrix'):
        some_splat(3).transformed(S)
