# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Normalization, Pose, opengl_to_optical, optical_to_opengl


def test_opengl_camera_looking_along_y_becomes_optical():
    # OpenGL: right = +x, up = +z, so it looks along +y and 'back' is -y.
    T_map_camgl = np.array([[1, 0, 0, 4], [0, 0, -1, 5], [0, 1, 0, 6], [0, 0, 0, 1.0]])
    T_map_cam = opengl_to_optical(T_map_camgl)
    right, down, forward = T_map_cam[:3, :3].T
    np.testing.assert_array_equal(right, [1, 0, 0])
    np.testing.assert_array_equal(down, [0, 0, -1])
    np.testing.assert_array_equal(forward, [0, 1, 0])
    np.testing.assert_array_equal(T_map_cam[:3, 3], [4, 5, 6])
    np.testing.assert_array_equal(optical_to_opengl(T_map_cam), T_map_camgl)


def test_the_cube_is_centred_on_the_bounding_box_with_the_longest_edge_as_side():
    centers = np.array([[0, 0, 0], [4, 1, 0], [1, 2, -1], [1, 0, 0.5]])
    cube = Normalization.from_camera_centers(centers)
    assert cube.center == (2.0, 1.0, -0.25)
    assert cube.side == 4.0
    points = torch.tensor([[4.0, 1.0, -0.25], [2.0, 3.0, -0.25], [2.0, 1.0, -0.25]])
    expected = torch.tensor([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0]])
    torch.testing.assert_close(cube.points_to_norm(points), expected)
    torch.testing.assert_close(cube.points_to_map(expected), points)


def test_poses_keep_their_rotation_and_come_back():
    cube = Normalization((1.0, -2.0, 3.0), 5.0)
    T = np.array([[0, -1, 0, 6], [1, 0, 0, -2], [0, 0, 1, 0.5], [0, 0, 0, 1.0]])
    T_norm_cam = cube.to_norm(Pose.from_matrix(T))
    np.testing.assert_array_equal(T_norm_cam.R, T[:3, :3])
    np.testing.assert_allclose(T_norm_cam.t, [1.0, 0.0, -0.5])
    np.testing.assert_allclose(cube.to_map(T_norm_cam).matrix(), T)


@pytest.mark.parametrize('centers', [np.ones((3, 3)), np.array([[0, 0, 0], [np.nan, 1, 1.0]])])
def test_cameras_without_extent_are_refused(centers):
    with pytest.raises(CaldiffError, match='span'):
        Normalization.from_camera_centers(centers)
