# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Landmarks of rendered views, and the poses that they propose."""

import numpy as np
import pytest
import torch
from wall import CAMERA, VIEW, Wall, moved, photograph

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.features import FeatureConfig, detect
from caldiff_ros.localization.landmarks import Landmarks
from caldiff_ros.localization.pnp import PnpConfig
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.landmark_views import build_landmarks, spread_out
from maps import make_map

LARGE = Camera(300, 240, 330.0, 330.0, 150.0, 120.0)


@pytest.fixture(scope='module')
def landmarks():
    cameras = Pose.cat([VIEW, moved(VIEW, 0.1, 10, seed=1, n=3)])
    return build_landmarks(Wall(), cameras, LARGE, BuildContext())


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
    assert build_landmarks(Wall(), VIEW, CAMERA, BuildContext()) is None


def test_a_map_keeps_them(landmarks, tmp_path):
    kept = make_map(landmarks=landmarks)
    kept.save(tmp_path / 'map')
    loaded = type(kept).load(tmp_path / 'map').landmarks
    np.testing.assert_array_equal(loaded.points, landmarks.points)
    np.testing.assert_array_equal(loaded.descriptors, landmarks.descriptors)
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
