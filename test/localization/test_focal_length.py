# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera whose focal length is not the one that it is said to have."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from blobs import CAMERA, Blobs, ring
from wall import photograph

from caldiff_ros.geometry import Camera
from caldiff_ros.localization import LocalizationMap, Localizer, Status
from caldiff_ros.localization.alignment import AlignmentConfig, align
from caldiff_ros.localization.focal_length import FocalFit, fit_focal_length

ROOT = Path(__file__).parents[2]
DEMO_CAMERA = Camera(**json.loads((ROOT / 'demo/camera.json').read_text()))
TRUTH = json.loads((ROOT / 'demo/poses.json').read_text())
#: Blobs fill the image, near and far, as a room does.
CLOSE_UP = replace(CAMERA, width=96, height=80, fx=90.0, fy=90.0, cx=48.0, cy=40.0)


@pytest.mark.parametrize('factor', [0.85, 0.93, 1.08, 1.15])
def test_the_true_focal_length_is_found(factor):
    field = Blobs()
    true = ring(8)[2:3]
    given = replace(CLOSE_UP, fx=CLOSE_UP.fx * factor, fy=CLOSE_UP.fy * factor)
    query = replace(photograph(field, true, CLOSE_UP), camera=given)
    aligned = align(field, query, true, config=AlignmentConfig()).T_norm_cam[:1]
    fit = fit_focal_length(field, query, aligned)
    assert fit.factor == pytest.approx(1 / factor, rel=0.02)
    assert fit.cost_ratio < 0.2 and fit.contradicts


def test_nothing_is_changed_about_the_right_one():
    field = Blobs()
    true = ring(8)[2:3]
    query = photograph(field, true, CLOSE_UP)
    assert fit_focal_length(field, query, true) == FocalFit(factor=1.0, cost_ratio=1.0)
    noise = 1e-3 * torch.randn(1, 6, generator=torch.Generator().manual_seed(0))
    near = fit_focal_length(field, query, true.retract(noise))
    assert not near.contradicts and near.factor == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ('factor', 'cost_ratio', 'contradicts'),
    [(1.15, 0.5, True), (0.85, 0.96, True), (1.15, 0.99, False), (1.02, 0.5, False)],
)
def test_it_takes_a_clear_change_and_a_clear_gain(factor, cost_ratio, contradicts):
    assert FocalFit(factor, cost_ratio).contradicts == contradicts


@pytest.fixture(scope='module')
def localizer():
    return Localizer(LocalizationMap.load(ROOT / 'maps/diorama_room'), device='cpu')


def localized(localizer, index, factor):
    image = cv2.imread(str(ROOT / 'demo' / TRUTH[index]['image']))[..., ::-1].copy()
    fx, fy = DEMO_CAMERA.fx * factor, DEMO_CAMERA.fy * factor
    return localizer.localize(image, replace(DEMO_CAMERA, fx=fx, fy=fy))


@pytest.mark.parametrize('factor', [0.85, 1.15])
def test_an_image_with_a_wrong_focal_length_is_refused_with_the_right_one(localizer, factor):
    answers = [localized(localizer, index, factor) for index in range(4)]
    assert {answer.status for answer in answers} == {Status.NOT_LOCALIZED}
    told = [answer for answer in answers if 'focal length' in answer.message]
    assert told and all(answer.confidence == 0 for answer in told)
    for answer in told:
        fitted = float(answer.message.split('focal length ')[1].split()[0])
        assert fitted == pytest.approx(1 / factor, rel=0.03)


def test_images_with_the_right_focal_length_are_localized(localizer):
    answers = [localized(localizer, index, 1.0) for index in range(6)]
    assert {answer.status for answer in answers} == {Status.LOCALIZED}
    assert all(np.isfinite(answer.covariance).all() for answer in answers)
