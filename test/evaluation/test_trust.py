# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Counting what is taken for right; the whole of it runs in test/cli/test_verbs.py."""

import io
from collections import Counter

import numpy as np
import pytest
from rich.console import Console
from scipy.spatial.transform import Rotation

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.metrics import pose_nees
from caldiff_ros.evaluation.protocol import QueryResult
from caldiff_ros.evaluation.trust import (
    answered_queries,
    foreign_statuses,
    made_up_images,
    trust_summary,
    trust_table,
)
from caldiff_ros.geometry import Camera
from caldiff_ros.localization.answer import Answer, Status
from caldiff_ros.scenes import open_scene

CAMERA = Camera(40, 30, 40.0, 40.0, 20.0, 15.0)


def query(translation_norm, rotation_deg, status):
    T, nan = np.eye(4), float('nan')
    errors = (2 * translation_norm, translation_norm, rotation_deg, nan)
    return QueryResult('q', T, T, *errors, status, '', 0.5, nan, 1.0)


def test_right_and_wrong_answers_are_counted_apart():
    queries = [
        query(0.01, 1.0, 'LOCALIZED'),
        query(0.04, 9.0, 'NOT_LOCALIZED'),
        query(0.06, 1.0, 'LOCALIZED'),
        query(0.01, 11.0, 'AMBIGUOUS'),
        query(float('inf'), float('inf'), 'FAILED'),  # no answer
    ]
    statuses = answered_queries(queries)
    assert statuses['right answers'] == {'LOCALIZED': 1, 'NOT_LOCALIZED': 1}
    assert statuses['wrong answers'] == {'LOCALIZED': 1, 'AMBIGUOUS': 1}
    summary = trust_summary(statuses | {'wrong poses': Counter()})
    assert summary['localized_percent'] == {
        'right answers': 50.0, 'wrong answers': 50.0, 'wrong poses': None,
    }  # fmt: skip
    assert summary['counts']['wrong answers'] == {'LOCALIZED': 1, 'AMBIGUOUS': 1}
    console = Console(file=io.StringIO(), width=120)
    console.print(trust_table(statuses))
    assert '50.0' in console.file.getvalue()


class Refusing:
    """Refuses what is black, and believes the rest."""

    def localize(self, image, camera):
        if image.max() == 0:
            raise CaldiffError('the image is black')
        return Answer(Status.LOCALIZED, 'why not')


def test_refused_images_count_as_failed():
    images = [(np.full((30, 40, 3), value, np.uint8), CAMERA) for value in (0, 9, 0)]
    assert list(foreign_statuses(Refusing(), images)) == ['FAILED', 'LOCALIZED', 'FAILED']


def test_pictures_of_nothing(nerfstudio):
    frames = open_scene(nerfstudio).frames
    images = made_up_images(frames, CAMERA, 'none', seed=0)
    assert len(images) == 9 + len(frames)
    for image, camera in images:
        assert image.dtype == np.uint8
        assert image.shape == (camera.height, camera.width, 3)
    again = made_up_images(frames, CAMERA, 'none', seed=0)
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(images, again, strict=True))


def test_pose_nees_by_hand():
    """0.2 along x at a deviation of 0.1, and 0.03 rad about the map's z at 0.01: 4 + 9."""
    T_estimate, T_true = np.eye(4), np.eye(4)
    T_estimate[:3, :3] = Rotation.from_euler('xyz', [0.4, -0.8, 2.0]).as_matrix()
    T_true[:3, :3] = Rotation.from_rotvec([0, 0, 0.03]).as_matrix() @ T_estimate[:3, :3]
    T_true[0, 3] = 0.2
    covariance = np.diag([0.1, 0.1, 0.1, 0.01, 0.01, 0.01]) ** 2
    assert pose_nees(T_true, T_estimate, covariance) == pytest.approx(13)
    assert np.isnan(pose_nees(T_true, None, None))
