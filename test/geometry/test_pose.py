# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from caldiff_ros.geometry import Pose


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_matrices(rng, n):
    T = np.tile(np.eye(4), (n, 1, 1))
    T[:, :3, :3] = Rotation.random(n, rng=rng).as_matrix()
    T[:, :3, 3] = rng.normal(size=(n, 3))
    return T


def test_matrix_round_trip_keeps_dtype(rng):
    T = random_matrices(rng, 6).reshape(2, 3, 4, 4)
    pose = Pose.from_matrix(T)
    assert pose.shape == (2, 3)
    np.testing.assert_array_equal(pose.matrix().numpy(), T)


def test_product_and_inverse_are_those_of_matrices(rng):
    A, B = random_matrices(rng, 5), random_matrices(rng, 5)
    product = Pose.from_matrix(A) @ Pose.from_matrix(B)
    np.testing.assert_allclose(product.matrix(), A @ B, atol=1e-12)
    np.testing.assert_allclose(Pose.from_matrix(A).inverse().matrix(), np.linalg.inv(A), atol=1e-12)


def test_points_are_transformed_as_by_matrices(rng):
    A, points = random_matrices(rng, 1), rng.normal(size=(7, 3))
    expected = points @ A[0, :3, :3].T + A[0, :3, 3]
    result = Pose.from_matrix(A).transform(torch.as_tensor(points))
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_quaternions_agree_with_scipy(rng):
    T = random_matrices(rng, 20)
    expected = Rotation.from_matrix(T[:, :3, :3]).as_quat(canonical=True, scalar_first=True)
    quaternion = Pose.from_matrix(T).quaternion_wxyz()
    np.testing.assert_allclose(quaternion, expected, atol=1e-12)
    # Any norm and either sign is the same rotation.
    again = Pose.from_quaternion(-3 * quaternion, torch.as_tensor(T[:, :3, 3]))
    np.testing.assert_allclose(again.matrix(), T, atol=1e-12)


def test_retract_turns_the_camera_about_its_own_centre(rng):
    T, delta = random_matrices(rng, 4), rng.normal(size=(4, 6))
    result = Pose.from_matrix(T).retract(torch.as_tensor(delta)).matrix().numpy()
    np.testing.assert_allclose(result[:, :3, 3], T[:, :3, 3] + delta[:, :3], atol=1e-12)
    expected = Rotation.from_matrix(T[:, :3, :3]) * Rotation.from_rotvec(delta[:, 3:])
    np.testing.assert_allclose(result[:, :3, :3], expected.as_matrix(), atol=1e-12)


def test_errors_are_distance_and_geodesic_angle(rng):
    A, B = random_matrices(rng, 10), random_matrices(rng, 10)
    a, b = Pose.from_matrix(A), Pose.from_matrix(B)
    relative = Rotation.from_matrix(A[:, :3, :3]).inv() * Rotation.from_matrix(B[:, :3, :3])
    np.testing.assert_allclose(a.rotation_error_deg(b), np.degrees(relative.magnitude()))
    distance = np.linalg.norm(A[:, :3, 3] - B[:, :3, 3], axis=1)
    np.testing.assert_allclose(a.translation_error(b), distance)


def test_small_angles_survive_single_precision():
    tiny = torch.tensor(Rotation.from_rotvec([1e-4, 0, 0]).as_matrix(), dtype=torch.float32)
    error = Pose(tiny, torch.zeros(3)).rotation_error_deg(Pose.identity())
    assert error.item() == pytest.approx(np.degrees(1e-4), rel=1e-3)


def test_batches_are_indexed_and_joined(rng):
    T = random_matrices(rng, 6)
    pose = Pose.from_matrix(T)
    assert len(pose) == 6
    joined = Pose.cat([pose[4:], pose[:4]])
    np.testing.assert_array_equal(joined.matrix(), np.roll(T, 2, axis=0))


def test_offset_is_the_inverse_of_retract(rng):
    pose = Pose.from_matrix(random_matrices(rng, 5))
    delta = torch.from_numpy(rng.uniform(-1, 1, (5, 6)))
    torch.testing.assert_close(pose.offset_to(pose.retract(delta)), delta)
    from_one = pose[0].offset_to(pose)
    torch.testing.assert_close(pose[[0] * 5].retract(from_one).matrix(), pose.matrix())
