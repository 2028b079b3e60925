# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from caldiff_ros.geometry.transforms import inverse, map_to_child, mounted_camera

#: From an optical camera to a body that looks along x: REP-103.
T_BASE_CAM = np.array([[0, 0, 1, 0.2], [-1, 0, 0, 0.1], [0, -1, 0, 0.5], [0, 0, 0, 1.0]])


def pose(x: float, y: float, yaw_deg: float, z: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler('z', yaw_deg, degrees=True).as_matrix()
    T[:3, 3] = x, y, z
    return T


def test_transform_times_its_inverse_is_the_identity():
    T = pose(1, 2, 30) @ T_BASE_CAM
    np.testing.assert_allclose(T @ inverse(T), np.eye(4), atol=1e-12)


def test_base_is_where_its_camera_says():
    T_map_base = pose(3, -1, 90)
    found = map_to_child(T_map_base @ T_BASE_CAM, T_BASE_CAM)
    np.testing.assert_allclose(found, T_map_base, atol=1e-12)


def test_map_to_odom_takes_the_drift_out():
    # Odometry has the robot at its origin; the map has it at (3, -1), turned to the left.
    T_map_odom = map_to_child(pose(3, -1, 90) @ T_BASE_CAM, pose(0, 0, 0) @ T_BASE_CAM)
    np.testing.assert_allclose(T_map_odom, pose(3, -1, 90), atol=1e-12)
    # One metre ahead in odometry is one metre along y of the map.
    np.testing.assert_allclose(T_map_odom @ [1, 0, 0, 1], [3, 0, 0, 1], atol=1e-12)


def test_covariance_of_a_camera_in_the_origin_of_its_base_only_turns():
    R = T_BASE_CAM.copy()
    R[:3, 3] = 0
    covariance = np.diag([1.0, 2, 3, 4, 5, 6])
    T_map_cam, moved = mounted_camera(pose(1, 2, 45), covariance, R)
    np.testing.assert_allclose(moved, covariance)
    np.testing.assert_allclose(T_map_cam, pose(1, 2, 45) @ R)


@pytest.mark.parametrize('seed', range(3))
def test_covariance_of_the_camera_is_that_of_sampled_bases(seed):
    rng = np.random.default_rng(seed)
    root = 1e-3 * rng.normal(size=(6, 6))
    T_map_base = pose(1, 2, 70, 0.3)
    deltas = rng.normal(size=(40_000, 6)) @ root.T
    turned = Rotation.from_rotvec(deltas[:, 3:]).as_matrix() @ T_map_base[:3, :3]
    positions = turned @ T_BASE_CAM[:3, 3] + T_map_base[:3, 3] + deltas[:, :3]
    _, moved = mounted_camera(T_map_base, root @ root.T, T_BASE_CAM)
    sampled = np.cov(np.concatenate([positions, deltas[:, 3:]], axis=1).T)
    np.testing.assert_allclose(moved, sampled, atol=0.05 * np.abs(sampled).max())
