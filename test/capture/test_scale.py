# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scale, vertical and pairs from numbers that are known."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from caldiff_ros.capture.config import CaptureConfig
from caldiff_ros.capture.gravity import find_gravity
from caldiff_ros.capture.lost import Evidence, why_lost
from caldiff_ros.capture.pairs import look_alikes, neighbours
from caldiff_ros.capture.pictures import Picture, Pictures
from caldiff_ros.capture.scale import Gps, MeasuredDistance, Solved, local_metres
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry.similarity import Similarity


def solved(centers, gps=None, seconds=None):
    """Pictures 0.jpg, 1.jpg, ... with a pose at some places."""
    pictures, images = [], {}
    for i, center in enumerate(centers):
        time = None if seconds is None else seconds[i]
        place = None if gps is None else gps[i]
        pictures.append(Picture(f'{i}.jpg', 60, 40, '', 1.0, seconds=time, gps=place))
        images[i] = SimpleNamespace(
            name=f'{i}.jpg', has_pose=True, projection_center=lambda center=center: center
        )
    return Solved(SimpleNamespace(images=images), Pictures(pictures, False, []), Path())


def test_a_similarity_is_found_again():
    rng = np.random.default_rng(0)
    R = Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix()
    points = rng.normal(size=(10, 3))
    fitted = Similarity.fit(2.5 * points @ R.T + [1, 2, 3], points)
    assert fitted.scale == pytest.approx(2.5)
    np.testing.assert_allclose(fitted.R, R, atol=1e-12)
    np.testing.assert_allclose(fitted.t, [1, 2, 3], atol=1e-12)


def test_a_mirrored_cloud_is_not_mirrored_back():
    points = np.random.default_rng(0).normal(size=(10, 3))
    assert np.linalg.det(Similarity.fit(points * [1, 1, -1], points).R) == pytest.approx(1)


@pytest.mark.parametrize(('first', 'second'), [('0.jpg', '2'), ('0.1', '19.6s')])
def test_a_measured_distance_gives_the_scale(first, second):
    centers = np.array([[0, 0, 0], [1, 0, 0], [0, 3, 4.0]])
    found = MeasuredDistance(first, second, 2.0).measure(solved(centers, seconds=[0, 10, 20]))
    assert found.metres_per_unit == pytest.approx(2 / 5)


@pytest.mark.parametrize('name', ['7.jpg', '14.0', 'door'])
def test_a_picture_without_pose_is_no_end_of_a_distance(name):
    centers = np.eye(3)
    with pytest.raises(CaldiffError, match='is not a picture with a pose'):
        MeasuredDistance('0.jpg', name, 1.0).measure(solved(centers, seconds=[0, 10, 20]))


def test_a_distance_must_be_positive_and_between_two_places():
    with pytest.raises(CaldiffError, match='positive number of metres'):
        MeasuredDistance('a', 'b', -1.0)
    with pytest.raises(CaldiffError, match='are at the same position'):
        MeasuredDistance('0', '0.jpg', 1.0).measure(solved(np.eye(3)))


def test_a_second_of_latitude_is_31_metres_and_of_longitude_less_up_north():
    second = 1 / 3600
    east_north_up = local_metres(
        np.array([[60, 10, 0], [60 + second, 10, 0], [60, 10 + second, 0], [60, 10, 7]])
    )
    # arcs of the meridian and of the parallel on WGS 84 at 60 degrees
    assert east_north_up[1] == pytest.approx([0, 30.948, 0], abs=2e-3)
    assert east_north_up[2] == pytest.approx([15.500, 0, 0], abs=2e-3)
    assert east_north_up[3] == pytest.approx([0, 0, 7], abs=1e-6)


def walk_with_gps(extent_m, noise_m):
    """Camera centres in units of 4 m, and their GPS with one wild value."""
    rng = np.random.default_rng(0)
    metres = rng.uniform(-extent_m, extent_m, (30, 3)) * [1, 1, 0.1]
    noisy = metres + rng.normal(0, noise_m, (30, 3))
    noisy[4] += [500, 0, 0]
    degree_m = 111_320.0
    gps = np.stack([noisy[:, 1] / 110_574.3, noisy[:, 0] / degree_m, noisy[:, 2]], axis=-1)
    R = Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix()
    return solved(metres @ R.T / 4, gps=[tuple(row) for row in gps])


def test_gps_gives_the_scale_in_spite_of_a_wild_value():
    found = Gps().measure(walk_with_gps(extent_m=40, noise_m=1.0))
    assert found.metres_per_unit == pytest.approx(4, rel=0.02)


def test_gps_of_a_room_says_nothing():
    with pytest.raises(CaldiffError, match=r'the photos spread by .* their GPS is off by'):
        Gps().measure(walk_with_gps(extent_m=2, noise_m=3.0))


def test_photos_without_gps_are_refused():
    with pytest.raises(CaldiffError, match='the EXIF of 0 photos with a pose has GPS'):
        Gps().measure(solved(np.random.default_rng(0).normal(size=(9, 3))))


@pytest.mark.parametrize('down', [[0, 1, 0], [0.6, 0, -0.8], [0, 0, 1]])
def test_the_mean_up_vector_is_turned_to_z(down):
    down = np.array(down) / np.linalg.norm(down)
    across = np.cross(down, [0.36, 0.48, 0.8])
    across /= np.linalg.norm(across)
    upright = np.stack([across, down, np.cross(across, down)], axis=1)
    pitches = Rotation.from_rotvec(np.outer(np.radians([-20, -10, 0, 10, 20]), [1, 0, 0]))
    found = find_gravity(upright @ pitches.as_matrix())
    assert found.R_map_sfm @ -down == pytest.approx([0, 0, 1], abs=1e-9)
    assert np.linalg.det(found.R_map_sfm) == pytest.approx(1)
    assert found.deviation_deg == pytest.approx(10)


def test_neighbours_are_those_that_follow():
    assert neighbours(4, 2) == {(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)}


def test_look_alikes_close_loops():
    angles = np.radians([0, 30, 60, 90, 120, 3])  # the last frame is where the first was
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
    config = CaptureConfig(overlap=1, look_alikes=1)
    found = look_alikes(vectors, config)
    assert (0, 5) in found and all(j - i > 1 for i, j in found)


@pytest.mark.parametrize(
    ('evidence', 'sharp', 'elsewhere', 'word'),
    [
        (Evidence(5000, 0), 0.1, False, 'blurred'),
        (Evidence(40, 0), 1.0, False, 'texture'),
        (Evidence(5000, 10), 1.0, True, 'not connected to the rest'),
        (Evidence(5000, 10), 1.0, False, 'too little'),
        (Evidence(5000, 400), 1.0, False, 'no reliable pose'),
    ],
)
def test_the_reason_why_a_picture_has_no_pose(evidence, sharp, elsewhere, word):
    assert word in why_lost(evidence, sharp, elsewhere)
