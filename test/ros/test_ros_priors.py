# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
from demo_inputs import prior

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import Answer, Status
from caldiff_ros.ros.priors import prior_from_msg, read_saved_pose, save_pose
from maps import make_map

T = np.array([[0, 0, 1, 1.0], [-1, 0, 0, 2], [0, -1, 0, 3], [0, 0, 0, 1]])
MOUNTING = np.array([[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def test_pose_and_covariance_of_the_camera_are_taken_as_they_are():
    guess = prior_from_msg(prior(T, 0.5), 'map', np.eye(4))
    np.testing.assert_allclose(guess.T_map_cam, T, atol=1e-12)
    np.testing.assert_allclose(guess.covariance, 0.25 * np.eye(6))


def test_pose_of_the_base_is_moved_to_its_camera():
    guess = prior_from_msg(prior(T), 'map', MOUNTING)
    np.testing.assert_allclose(guess.T_map_cam, T @ MOUNTING, atol=1e-12)


def test_frame_may_have_the_slash_of_older_tools():
    assert prior_from_msg(prior(T, frame='/map'), 'map', np.eye(4)) is not None


@pytest.mark.parametrize('norm', [0.991, 1.002, 1.009])
def test_quaternion_that_is_nearly_of_norm_1_is_normalized(norm):
    message = prior(T)
    q = message.pose.pose.orientation
    q.x, q.y, q.z, q.w = (norm * value for value in (q.x, q.y, q.z, q.w))
    np.testing.assert_allclose(prior_from_msg(message, 'map', np.eye(4)).T_map_cam, T, atol=1e-12)


def spoiled(**parts):
    message = prior(T)
    for name, value in parts.items():
        target = message.pose.pose.position if name in 'xyz' else message.pose.pose.orientation
        setattr(target, name[-1], value)
    return message


def with_covariance(covariance):
    message = prior(T)
    message.pose.covariance = np.asarray(covariance, dtype=float).ravel()
    return message


@pytest.mark.parametrize(
    ('message', 'sentence'),
    [
        (prior(T, frame='odom'), "in frame 'odom', expected 'map'"),
        (prior(T, frame=''), "in frame '', expected 'map'"),
        (spoiled(x=float('nan')), 'finite numbers'),
        (spoiled(qw=float('nan')), 'norm nan'),
        (spoiled(qx=0.0, qy=0.0, qz=0.0, qw=0.0), 'norm 0'),
        (spoiled(qw=0.53), r'norm 1\.0\d+, expected 1; normalize'),
        (with_covariance(-np.eye(6)), 'without negative eigenvalues'),
        (with_covariance(np.triu(np.ones((6, 6)))), 'symmetric'),
        (with_covariance(np.full((6, 6), np.nan)), 'finite numbers'),
    ],
)
def test_bad_priors_are_refused(message, sentence):
    with pytest.raises(CaldiffError, match=sentence):
        prior_from_msg(message, 'map', np.eye(4))


@pytest.fixture(scope='module')
def place():
    return make_map()


def saved(path, place):
    save_pose(path, Answer(Status.LOCALIZED, 'found', T, 1e-6 * np.eye(6)), place)
    return path


def test_saved_pose_comes_back_less_certain(place, tmp_path):
    path = saved(tmp_path / 'deep' / 'pose.json', place)
    guess = read_saved_pose(path, place)
    np.testing.assert_allclose(guess.T_map_cam, T)
    deviation = np.sqrt(np.diag(guess.covariance))
    np.testing.assert_allclose(deviation[:3], 0.05 * place.unit, rtol=1e-3)
    np.testing.assert_allclose(deviation[3:], np.radians(10), rtol=1e-3)
    assert [file.name for file in path.parent.iterdir()] == ['pose.json']


def test_saved_pose_of_another_map_or_none_at_all(place, tmp_path):
    path = saved(tmp_path / 'pose.json', place)
    content = json.loads(path.read_text()) | {'map': 'elsewhere'}
    path.write_text(json.dumps(content))
    assert read_saved_pose(path, place) is None
    assert read_saved_pose(tmp_path / 'nothing.json', place) is None


@pytest.mark.parametrize(
    'text', ['', '{}', '[1]', '{"map": "test", "T_map_cam": [1], "covariance": []}']
)
def test_damaged_saved_pose(place, tmp_path, text):
    path = tmp_path / 'pose.json'
    path.write_text(text)
    with pytest.raises(CaldiffError, match='holds no saved pose'):
        read_saved_pose(path, place)


def test_failure_to_write_leaves_the_old_pose(place, tmp_path, full_disk):
    path = saved(tmp_path / 'pose.json', place)
    before = path.read_text()
    with full_disk(10), pytest.raises(OSError):
        saved(path, place)
    assert path.read_text() == before
