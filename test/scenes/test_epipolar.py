# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matches against poses, worked out by hand; features of mirrored images."""

import cv2
import numpy as np
import pytest
from textured_room import photograph_room, walk

from caldiff_ros.scenes.checking.epipolar import depths_in_first, distances_px, parallax_px
from caldiff_ros.scenes.checking.pairs import ImagePair
from caldiff_ros.scenes.features import features_of, matches, mirrored_descriptors


def pair_of(xy_i, xy_j):
    xy_i, xy_j = np.array(xy_i, float), np.array(xy_j, float)
    return ImagePair(0, 1, xy_i, xy_j, focal=100.0, verified=True)


@pytest.fixture
def beside():
    """Two cameras that look along z, the second one 1 to the right of the first."""
    T = np.stack([np.eye(4), np.eye(4)])
    T[1, 0, 3] = 1.0
    return T


def test_distances_are_those_to_the_half_line_in_front(beside):
    # a point at (1, 0.2, 2): at x = 0.5 in the first image, 0 in the second
    in_second = [0.0, 0.1]
    pair = pair_of(
        [
            [0.5, 0.1],  # itself
            [0.5, 0.13],  # 0.03 beside its line
            [-0.2, 0.1],  # on the line, but behind both cameras
            [0.0, 0.1],  # infinitely far
        ],
        [in_second] * 4,
    )
    np.testing.assert_allclose(distances_px(pair, beside), [0, 3, 20, 0], atol=1e-9)


def test_distances_of_a_pure_turn_are_those_to_the_turned_direction():
    T = np.stack([np.eye(4), np.eye(4)])
    T[1, :3, :3] = cv2.Rodrigues(np.array([0, np.radians(10.0), 0]))[0]  # to the right
    ahead_of_second = [[np.tan(np.radians(10.0)), 0.0], [np.tan(np.radians(10.0)) + 0.02, 0.0]]
    pair = pair_of(ahead_of_second, [[0, 0], [0, 0]])
    distances = distances_px(pair, T)
    assert distances[0] == pytest.approx(0, abs=1e-9)
    assert distances[1] == pytest.approx(2, rel=0.05)
    assert parallax_px(pair, T)[1] == pytest.approx(2, abs=1e-9)


def test_what_a_camera_has_behind_it_agrees_with_no_pose(beside):
    beside[1, :3, :3] = np.diag([-1.0, 1, -1])  # looks back
    assert distances_px(pair_of([[0.0, 0.0]], [[0.0, 0.0]]), beside)[0] == np.inf


def test_a_focal_factor_scales_directions_and_pixels(beside):
    # at half the focal length, the same pixel is at twice the tangent; 0.03 becomes 0.06 * 50
    pair = pair_of([[0.5, 0.13]], [[0.0, 0.1]])
    np.testing.assert_allclose(distances_px(pair, beside, 0.5), [3], atol=1e-9)


def test_depths_are_triangulated_where_rays_cross(beside):
    pair = pair_of([[0.5, 0.1], [-0.5, 0.1], [0.001, 0.1]], [[0.0, 0.1], [0.0, 0.1], [0.0, 0.1]])
    depths = depths_in_first(pair, beside)
    assert depths[0] == pytest.approx(2)
    assert np.isnan(depths[1:]).all()  # behind the cameras; at too small an angle


def test_mirrored_descriptors_are_those_of_the_mirrored_image():
    image, _ = photograph_room(walk()[0])
    places, descriptors = features_of(image)
    places_mirrored, of_mirrored = features_of(np.ascontiguousarray(image[:, ::-1]))
    found, in_mirrored = matches(mirrored_descriptors(descriptors), of_mirrored)
    assert len(found) > 0.8 * len(places)

    expected = places[found].numpy() * (-1, 1) + (image.shape[1], 0)
    distance = np.linalg.norm(expected - places_mirrored[in_mirrored].numpy(), axis=1)
    assert (distance < 1).mean() > 0.95
