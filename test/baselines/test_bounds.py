# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bounds in the shipped map, where every image is rendered at a known pose."""

import math

import numpy as np
import pytest
import torch

from caldiff_ros.baselines.bounds import (
    make_floor,
    make_nearest_training_view,
    make_oracle_selection,
    pose_gap,
)
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.evaluation import THRESHOLDS, pose_errors
from caldiff_ros.geometry import Pose
from caldiff_ros.localization import Cancelled, CancelToken, Localizer
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run


@pytest.fixture
def truth(localization_map):
    """A pose off a training camera, (4, 4)."""
    delta = torch.tensor([[0.02, -0.01, 0.015, 0.05, -0.04, 0.06]])
    return localization_map.to_map(localization_map.training_cameras[[18]].retract(delta))[0]


def errors(localization_map, true, answer):
    distance, angle = pose_errors(true, answer.T_map_cam)
    return distance / localization_map.unit, angle


def test_the_gap_is_the_threshold_that_a_pose_reaches():
    true = Pose.identity(1)
    for distance, angle in THRESHOLDS:
        shifted, turned = torch.zeros(2, 1, 6)
        shifted[0, 1], turned[0, 5] = distance, math.radians(angle)
        assert float(pose_gap(true.retract(shifted), true)) == pytest.approx(angle, rel=1e-3)
        assert float(pose_gap(true.retract(turned), true)) == pytest.approx(angle, rel=1e-3)
        both = true.retract(shifted + turned / 2)
        assert float(pose_gap(both, true)) == pytest.approx(angle, rel=1e-3)


def test_the_floor_stays_at_the_truth(localization_map, views, truth):
    bound = make_floor(Setup(localization_map, views, device='cpu'))
    answer = bound.for_truth(truth).localize(
        localization_map.render(truth), localization_map.camera
    )
    distance, angle = errors(localization_map, truth, answer)
    assert distance < 4e-3
    assert angle < 0.4


def test_the_nearest_training_view_is_that_of_a_loop_and_stays_where_it_is(
    localization_map, views, truth
):
    best, nearest = math.inf, None
    for T_map_cam in localization_map.to_map(views.T_norm_cam):
        distance = np.linalg.norm(T_map_cam[:3, 3] - truth[:3, 3]) / localization_map.unit
        cosine = (np.trace(T_map_cam[:3, :3].T @ truth[:3, :3]) - 1) / 2
        gap = max(distance / 0.005, math.degrees(math.acos(cosine)))
        if gap < best:
            best, nearest = gap, T_map_cam
    bound = make_nearest_training_view(Setup(localization_map, views, device='cpu'))
    answer = bound.for_truth(truth).localize(
        localization_map.render(truth), localization_map.camera
    )
    assert np.array_equal(answer.T_map_cam, nearest)
    assert len(answer.hypotheses) == 1


def test_the_oracle_has_the_particles_of_the_localizer_and_takes_the_nearest(
    localization_map, views, truth
):
    image, seed = localization_map.render(truth), 4
    seen, token = [], CancelToken()

    def look(particles):
        seen.append(particles)
        if particles.stage == 'refinement':
            token.cancel()

    localizer = Localizer(localization_map, device='cpu', seed=seed)
    with pytest.raises(Cancelled):
        localizer.localize(image, localization_map.camera, observer=look, cancel=token)
    own, chosen = (
        localization_map.to_norm([p.T_map_cam for p in seen if p.stage == stage][-1])
        for stage in ('diffusion', 'selection')
    )
    oracle = make_oracle_selection(Setup(localization_map, views, None, seed, 'cpu')).for_truth(
        truth
    )
    query = Query(
        *localization_map.view(image, localization_map.camera),
        localization_map.camera,
        torch.device('cpu'),
        True,
    )
    proposed = oracle.propose(query, Run(localization_map, torch.Generator().manual_seed(seed)))
    true = localization_map.to_norm(truth[None])
    gaps = pose_gap(proposed, true)
    assert torch.allclose(gaps, pose_gap(own, true).sort().values[:5], atol=1e-2)
    assert gaps.min() <= pose_gap(chosen, true).min() + 1e-2


def test_the_oracle_localizes(localization_map, views, truth):
    oracle = make_oracle_selection(Setup(localization_map, views, None, 4, 'cpu')).for_truth(truth)
    answer = oracle.localize(localization_map.render(truth), localization_map.camera)
    distance, angle = errors(localization_map, truth, answer)
    assert distance < 0.01
    assert angle < 2
