# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Render, match, PnP, and how sure that makes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from wall import CAMERA, VIEW, Wall, moved, photograph

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.correctness import nees
from caldiff_ros.localization.covariance import fuse
from caldiff_ros.localization.features import FeatureConfig, Features, detect, match
from caldiff_ros.localization.matching import Matcher, MatchingConfig
from caldiff_ros.localization.pnp import PnpConfig, solve_pnp

CONFIG = MatchingConfig()
PNP = PnpConfig()


def found_from(field, query, start):
    matcher = Matcher(field, query, CONFIG)
    return [matcher.until_still(matched) for matched in matcher.match(start)]


def test_matching_finds_the_pose_from_far_away(scene):
    field, true, query = scene
    start = moved(true, 0.08, 15, seed=5, n=2)
    found = found_from(field, query, start)
    assert found
    for matched in found:
        assert float(matched.T_norm_cam.translation_error(true)[0]) < 0.01
        assert float(matched.T_norm_cam.rotation_error_deg(true)[0]) < 1.0


def test_another_round_finds_more(scene):
    """A render from a better pose matches better."""
    field, true, query = scene
    start = moved(true, 0.08, 20, seed=1)
    matcher = Matcher(field, query, CONFIG)
    [first] = matcher.match(start)
    last = matcher.until_still(first)
    assert last.inliers > first.inliers
    errors = [float(found.T_norm_cam.translation_error(true)[0]) for found in (first, last)]
    assert errors[1] < errors[0]


def test_a_pose_that_is_nearly_right_is_enough(scene):
    field, true, query = scene
    matcher = Matcher(field, query, CONFIG)
    found = matcher.match_near(moved(true, 0.02, 2, seed=3))
    assert float(found.T_norm_cam.translation_error(true)[0]) < 0.005
    assert matcher.match_near(moved(true, 1.0, 120, seed=3)) is None


def test_detail_places_features_where_the_image_has_them(scene):
    """Of an image with three times the pixels, in the pixels of the image."""
    field, true, query = scene
    large = CAMERA.resized(3 * CAMERA.width, 3 * CAMERA.height)
    detailed = replace(query, detailed=photograph(field, true, large).image)
    plain, fine = Matcher(field, query, CONFIG), Matcher(field, detailed, CONFIG)
    assert plain.detailed_features is plain.features
    at, from_detail = match(fine.features, fine.detailed_features, ratio=0.7)
    assert len(at) > 30
    off = fine.features.uv[at] - fine.detailed_features.uv[from_detail]
    assert np.abs(np.median(off, axis=0)).max() < 0.1
    assert np.median(np.abs(off)) < 0.2


def test_nothing_is_found_where_there_is_nothing(scene):
    field, true, query = scene
    blank = type(query)(np.full_like(query.image, 127), query.seen, query.camera, query.device)
    assert found_from(field, blank, true) == []
    other = photograph(Wall(seed=9), true, CAMERA)
    assert found_from(field, other, true) == []


def test_matches_of_one_and_the_same_point_make_no_pose():
    assert solve_pnp(np.zeros((20, 3)), np.zeros((20, 2)), CAMERA, PNP) is None


def projected(points: np.ndarray, pose: Pose) -> np.ndarray:
    seen = pose.inverse().to(torch.float64).transform(torch.from_numpy(points)[:, None])[:, 0]
    return (seen[:, :2] / seen[:, 2:]).numpy() * [CAMERA.fx, CAMERA.fy] + [CAMERA.cx, CAMERA.cy]


def test_the_covariance_is_that_of_many_noisy_trials():
    random = np.random.default_rng(0)
    depth = random.uniform(0.5, 3, 80)
    x, y = random.uniform(-0.4, 0.4, (2, 80))
    seen = torch.from_numpy(np.column_stack([x * depth, y * depth, depth]))
    points = VIEW[0].to(torch.float64).transform(seen).numpy()
    uv = projected(points, VIEW)
    values = []
    for _ in range(100):
        found = solve_pnp(points, uv + random.normal(0, 0.5, uv.shape), CAMERA, PNP)
        error = found.T_norm_cam[0].to(torch.float64).offset_to(VIEW[0].to(torch.float64))
        values.append(nees(error, found.covariance))
    # 6 on average, with a standard deviation of sqrt(12 / 100); RANSAC leaves some inliers out,
    # and the noise is measured on the others
    assert np.mean(values) == pytest.approx(6, abs=2)


@pytest.mark.parametrize('window_px', [None, 30.0])
def test_matches_are_those_of_a_search_through_all_pairs(window_px):
    """Descriptors of 60 points with noise, and others; a pair at a time, by distance."""
    random = np.random.default_rng(1)

    def features(vectors, uv):
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return Features(uv, vectors.astype(np.float32))

    points, uv = random.random((60, 128)), random.uniform(0, 200, (60, 2))
    a = features(points + 0.3 * random.random((60, 128)), uv)
    b = features(
        np.concatenate([points, random.random((40, 128))])[random.permutation(100)],
        random.uniform(0, 200, (100, 2)),
    )
    within = np.inf if window_px is None else window_px

    def by_distance(one, other, i):
        near = [j for j in range(len(other)) if np.hypot(*(one.uv[i] - other.uv[j])) <= within]
        return sorted((np.linalg.norm(one.descriptors[i] - other.descriptors[j]), j) for j in near)

    expected = []
    for i in range(len(a)):
        found = by_distance(a, b, i)
        if not found or by_distance(b, a, found[0][1])[0][1] != i:
            continue
        # what has no rival is compared to the farthest that there can be
        second = found[1][0] if len(found) > 1 else 2.0
        if found[0][0] < 0.8 * second:
            expected.append((i, found[0][1]))

    matches = list(zip(*match(a, b, 0.8, window_px), strict=True))
    assert matches == expected
    assert len(expected) >= 3


def test_matches_are_mutual_distinct_and_near():
    eye = np.eye(128, dtype=np.float32)
    a = Features(np.array([[10.0, 10], [50, 50], [90, 20]]), eye[:3])
    b = Features(np.array([[12.0, 10], [80, 80], [91, 20]]), eye[:3])
    for window_px, expected in ((None, [0, 1, 2]), (5.0, [0, 2])):
        of_a, of_b = match(a, b, 0.8, window_px)
        assert of_a.tolist() == of_b.tolist() == expected
    # two that look alike are no match, unless one of them is too far away to be meant
    twice = Features(np.vstack([b.uv, [[60.0, 60]]]), np.vstack([b.descriptors, eye[:1]]))
    assert match(a, twice, 0.8)[0].tolist() == [1, 2]
    assert match(a, twice, 0.8, window_px=20.0)[0].tolist() == [0, 2]
    assert len(match(a, Features(b.uv[:1], b.descriptors[:1]), 0.8)[0]) == 0


def test_keypoints_of_a_larger_copy_are_in_the_same_place(scene):
    _, _, query = scene
    small = detect(query.image, FeatureConfig(longer_side=1))
    large = detect(query.image, FeatureConfig(longer_side=400))
    of_small, of_large = match(small, large, 0.8)
    assert len(of_small) > 20
    distance = np.linalg.norm(small.uv[of_small] - large.uv[of_large], axis=1)
    assert np.median(distance) < 0.3
    assert np.abs(np.median(small.uv[of_small] - large.uv[of_large], axis=0)).max() < 0.1


def test_what_is_known_better_counts_more():
    """Of two estimates, the one that is sure of a direction decides there."""
    a, b = VIEW, VIEW.retract(torch.tensor([[0.01, 0.02, 0, 0.01, 0, 0]]))
    sure_of_x = torch.diag(torch.tensor([1e-8, 1.0, 1, 1, 1, 1])).double()
    sure_of_y = torch.diag(torch.tensor([1.0, 1e-8, 1, 1, 1, 1])).double()
    pose, covariance = fuse(a, sure_of_x, b, sure_of_y)
    offset = a[0].to(torch.float64).offset_to(pose[0].to(torch.float64))
    assert offset[:2].tolist() == pytest.approx([0.0, 0.02], abs=1e-6)
    assert float(offset[3]) == pytest.approx(0.005, abs=1e-5)
    assert covariance.diagonal().tolist() == pytest.approx([1e-8, 1e-8] + [0.5] * 4, rel=1e-3)


def test_estimates_that_disagree_are_known_less_well():
    """By as much as their distance exceeds what their covariances explain, over six directions."""
    a, b = VIEW, VIEW.retract(torch.tensor([[0.1, 0, 0, 0, 0, 0]]))
    each = 1e-4 * torch.eye(6).double()
    pose, covariance = fuse(a, each, b, each)
    offset = a[0].to(torch.float64).offset_to(pose[0].to(torch.float64))
    assert float(offset[0]) == pytest.approx(0.05, abs=1e-6)
    ratio = 0.1**2 / 2e-4 / 6
    assert covariance.diagonal().tolist() == pytest.approx([ratio * 0.5e-4] * 6, rel=1e-4)
    _, covariance = fuse(a, 100 * each, b, 100 * each)
    assert covariance.diagonal().tolist() == pytest.approx([0.5e-2] * 6, rel=1e-4)
