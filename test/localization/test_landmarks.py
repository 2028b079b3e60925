# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Landmarks of photographs and of rendered views, and the poses that they lead to."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from wall import CAMERA, VIEW, Wall, moved, photograph

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.features import FeatureConfig, detect
from caldiff_ros.localization.landmarks import Landmarks
from caldiff_ros.localization.pnp import PnpConfig
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.landmark_views import (
    have_landmarks,
    landmarks_of_tracks,
    rendered_landmarks,
    spread_out,
)
from caldiff_ros.mapping.tracks import PosedCamera
from caldiff_ros.mapping.triangulation import triangulated_tracks
from maps import make_map

LARGE = Camera(300, 240, 330.0, 330.0, 150.0, 120.0)
#: Of photographs, and a wall with more to see.
PHOTO, FINE = LARGE.resized(600, 480), Wall(cells=80)


@pytest.fixture(scope='module')
def landmarks():
    cameras = Pose.cat([VIEW, moved(VIEW, 0.1, 10, seed=1, n=3)])
    return rendered_landmarks(Wall(), cameras, LARGE, BuildContext())


def test_they_lie_where_the_scene_is(landmarks):
    """On the wall z = 0."""
    assert landmarks.points.shape[0] == 4
    full = landmarks.descriptors.any(axis=2)
    assert full.sum() > 100
    assert np.abs(landmarks.points[full][:, 2]).max() < 1e-3
    norms = np.linalg.norm(landmarks.descriptors[full] / 255.0, axis=1)
    assert norms == pytest.approx(1, abs=0.05)


def test_they_propose_the_pose_of_an_image(landmarks):
    true = moved(VIEW, 0.15, 12, seed=8)
    query = photograph(Wall(), true, LARGE)
    features = detect(query.image, FeatureConfig())
    found = landmarks.propose(features, LARGE, PnpConfig())
    assert [m.inliers for m in found] == sorted((m.inliers for m in found), reverse=True)
    assert float(found[0].T_norm_cam.translation_error(true)[0]) < 0.01
    assert float(found[0].T_norm_cam.rotation_error_deg(true)[0]) < 1.0


def test_they_propose_nothing_for_an_image_of_another_place(landmarks):
    other = photograph(Wall(seed=9), VIEW, LARGE)
    assert landmarks.propose(detect(other.image, FeatureConfig()), LARGE, PnpConfig()) == []
    blank = detect(np.full_like(other.image, 127), FeatureConfig())
    assert landmarks.propose(blank, LARGE, PnpConfig()) == []
    none = Landmarks.of([], most=5)
    assert none.propose(detect(other.image, FeatureConfig()), LARGE, PnpConfig()) == []


def test_small_images_have_none():
    assert have_landmarks(LARGE) and not have_landmarks(CAMERA)


@pytest.fixture(scope='module')
def tracks():
    """What five photographs of the wall share."""
    cameras = Pose.cat([VIEW, moved(VIEW, 0.12, 8, seed=1, n=4)])
    images = [photograph(FINE, cameras[i : i + 1], PHOTO) for i in range(5)]
    posed = PosedCamera(PHOTO, cameras.to(torch.float64))
    return triangulated_tracks(
        [(query.image, query.seen) for query in images], posed, lambda done, n: None
    )


def test_those_of_photographs_are_where_at_least_three_show_them(tracks):
    exact = landmarks_of_tracks(tracks)
    full = exact.descriptors.any(axis=2)
    assert exact.are_exact and len(exact.points) == 5 and full.sum(axis=1).min() > 30
    off = np.abs(exact.points[full][:, 2])  # the wall is z = 0
    assert np.median(off) < 1e-3 and (off < 0.01).mean() > 0.97
    n_images = torch.bincount(tracks.point)
    assert full.sum() == int(n_images[n_images >= 3].sum())


def test_without_some_photographs_they_know_nothing_of_them(tracks):
    held_out = torch.tensor([False, True, False, False, True])
    without = tracks.without(held_out)
    assert set(without.features.image.tolist()) == {0, 2, 3}
    assert len(landmarks_of_tracks(without, ~held_out).points) == 3


def test_exact_ones_find_the_pose_of_an_image_near_a_first_guess(tracks):
    exact = landmarks_of_tracks(tracks)
    true = moved(VIEW, 0.1, 6, seed=8)
    query = photograph(FINE, true, PHOTO)
    features = detect(query.image, FeatureConfig())
    found = exact.match(features, moved(true, 0.02, 2, seed=4), PHOTO, PnpConfig())
    assert found.inliers > 50
    assert float(found.T_norm_cam.translation_error(true)[0]) < 0.002
    assert float(found.T_norm_cam.rotation_error_deg(true)[0]) < 0.2


def test_exact_ones_find_nothing_where_there_is_nothing(tracks):
    exact = landmarks_of_tracks(tracks)
    other = detect(photograph(Wall(seed=9), VIEW, PHOTO).image, FeatureConfig())
    blank = detect(np.full((480, 600, 3), 127, np.uint8), FeatureConfig())
    half_turn = Pose(VIEW.R @ torch.diag(torch.tensor([-1.0, 1, -1])), VIEW.t)
    same = detect(photograph(FINE, VIEW, PHOTO).image, FeatureConfig())
    for features, pose in ((other, VIEW), (blank, VIEW), (same, half_turn)):
        assert exact.match(features, pose, PHOTO, PnpConfig()) is None
    assert Landmarks.of([], most=5).match(same, VIEW, PHOTO, PnpConfig()) is None


def test_a_map_keeps_them(landmarks, tmp_path):
    kept = make_map(landmarks=landmarks)
    kept.save(tmp_path / 'map')
    loaded = type(kept).load(tmp_path / 'map').landmarks
    most = loaded.points.shape[1]  # without what is empty in all views
    np.testing.assert_array_equal(loaded.points, landmarks.points[:, :most])
    np.testing.assert_array_equal(loaded.descriptors, landmarks.descriptors[:, :most])
    assert 0 < most < 500 and not landmarks.descriptors[:, most:].any()
    assert not loaded.are_exact
    replace(landmarks, are_exact=True).save(tmp_path / 'exact')
    assert Landmarks.load(tmp_path / 'exact').are_exact
    make_map().save(tmp_path / 'without')
    assert type(kept).load(tmp_path / 'without').landmarks is None


def test_views_are_taken_far_from_each_other():
    """Of a line of cameras its ends come first, then its middle; a turn counts like a shift."""
    t = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [4, 0, 0], [0, 0, 0]])
    R = torch.eye(3).repeat(5, 1, 1)
    R[4] = torch.diag(torch.tensor([-1.0, 1, -1]))  # half a turn: 0.5 * pi
    cameras = Pose(R, t)
    assert spread_out(cameras, 4).tolist() == [0, 3, 2, 4]
    assert sorted(spread_out(cameras, 9).tolist()) == [0, 1, 2, 3, 4]
