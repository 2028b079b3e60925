# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which way is up, in rooms that are turned in any way."""

import re

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from splat_world import CAMERA, HALF, inside, room

from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.splat_field import bare_field, splat_box
from caldiff_ros.mapping.upwards import seen_surfaces, up_of_cameras, up_of_surfaces

UP = torch.tensor([0.0, 0.0, 1.0])


def points_of_room(n=4000, ceiling=0.0, seed=0):
    """What is seen of a room: its walls, all of its floor, and this share of the ceiling."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (n, 3)) * HALF
    areas = np.array([HALF[1] * HALF[2], HALF[0] * HALF[2], HALF[0] * HALF[1]])
    axis = rng.choice(3, n, p=areas / areas.sum())
    side = rng.choice([-1, 1], n)
    rows = np.arange(n)
    points[rows, axis] = side * HALF[axis]
    normals = np.zeros((n, 3))
    normals[rows, axis] = -side
    kept = (axis < 2) | (side < 0) | (rng.random(n) < ceiling)
    noise = rng.normal(0, 0.03, (n, 3))
    normals = (normals + noise) / np.linalg.norm(normals + noise, axis=1, keepdims=True)
    return points[kept], normals[kept]


def found(points, normals):
    values = (torch.from_numpy(np.float32(value)) for value in (points, normals))
    return up_of_surfaces(*values, torch.Generator().manual_seed(0))


@pytest.mark.parametrize('seed', range(4))
def test_up_is_the_way_that_the_floor_faces(seed):
    R = Rotation.random(random_state=seed).as_matrix()
    points, normals = points_of_room(ceiling=0.3)
    upward = found(points @ R.T, normals @ R.T)
    assert upward.direction.numpy() @ R[:, 2] > np.cos(np.radians(1.0))
    # the floor is 4 wide, along its diagonals 5.7, and the room is 2 high
    wide = float(re.search(r'([\d.]+) times as wide as it is high', upward.why)[1])
    assert 1.9 < wide < 2.9
    words = [float(word) for word in str(upward).split(',')]
    np.testing.assert_allclose(words, R[:, 2], atol=0.02)


def test_a_ceiling_that_is_seen_as_well_as_the_floor_is_not_certain():
    assert found(*points_of_room(ceiling=1.0)) is None


def test_a_place_that_is_higher_than_wide_is_not_certain():
    points, normals = points_of_room(ceiling=0.0)
    assert found(points * [0.4, 0.4, 1], normals) is None


def test_a_single_wall_is_no_floor():
    """A facade is thin, too, and most of what is seen of it faces the same way."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (3000, 3)) * [4, 0.1, 3]
    normals = np.tile([0.0, -1.0, 0.0], (3000, 1)) + rng.normal(0, 0.05, (3000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert found(points, normals) is None
    assert found(points[:100], normals[:100]) is None


def test_surfaces_face_the_cameras_that_see_them():
    splat = room(30000)
    field = bare_field(splat, (splat_box(splat), 'none'), CAMERA.fx, 0.01, torch.ones(len(splat)))
    points, normals = seen_surfaces(field, inside(6), CAMERA)
    assert len(points) > 6 * 1000
    box = torch.from_numpy(np.float32(HALF))
    axis = (points.abs() / box - 1).abs().argmin(1, keepdim=True)
    assert (points.gather(1, axis).abs() - box[axis]).abs().median() < 0.03
    into_room = -points.gather(1, axis).sign() * normals.gather(1, axis)
    assert into_room.median() > 0.95


def test_up_of_cameras_is_their_mean_unless_they_are_held_in_any_way():
    poses = inside(12)
    upward = up_of_cameras(poses)
    assert float(upward.direction @ UP.double()) > 0.98
    assert 'half of the cameras are held within' in upward.why
    rolled = torch.from_numpy(Rotation.random(40, random_state=0).as_matrix())
    assert up_of_cameras(Pose(rolled, torch.zeros(40, 3, dtype=torch.float64))) is None
