# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The baseline on photographs that are larger than the images of the map."""

import numpy as np
import pytest
import torch
from hloc_world import QUERY_POSE, WALL, localization_map, views
from plane_world import write_png
from wall import CAMERA, VIEW, moved, photograph

from caldiff_ros.baselines.hloc import building as building_module
from caldiff_ros.baselines.hloc import localizer as localizer_module
from caldiff_ros.baselines.hloc import make_hloc
from caldiff_ros.baselines.hloc.config import FULL_SIZE_CONFIGS, for_photographs
from caldiff_ros.baselines.hloc.features import make_detector
from caldiff_ros.baselines.hloc.training_images import TrainingImages
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.evaluation.experiment import OutOfTime
from caldiff_ros.evaluation.metrics import pose_errors
from caldiff_ros.localization import Status
from caldiff_ros.scenes import Frame

#: Six times as large as what the map sees, and larger than what small images are enlarged to.
LARGE = CAMERA.resized(600, 480)


def frames(folder, camera, n=8, channels=3):
    """The photographs of `views` as files, sized as ``camera``; a fourth channel is half opaque."""
    made = []
    for seed in range(n):
        pose = moved(VIEW, 0.15, 8.0, seed)
        image = photograph(WALL, pose, camera).image
        if channels == 4:
            image = np.dstack([image, np.full(image.shape[:2], 128, np.uint8)])
        path = folder / f'{seed}.png'
        write_png(path, image)
        made.append(Frame(str(seed), path, camera, localization_map().to_map(pose)[0]))
    return made


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    return frames(tmp_path_factory.mktemp('photographs'), LARGE)


def made(photographs, monkeypatch):
    """The baseline with SIFT, and the shapes of the images in which it looked for keypoints."""
    shapes = []

    def recording(config, device):
        detect = make_detector(config, device)

        def detected(image, seen):
            shapes.append(image.shape)
            return detect(image, seen)

        return detected

    monkeypatch.setattr(localizer_module, 'make_detector', recording)
    setup = Setup(localization_map(), views(), device='cpu', photographs=photographs)
    return make_hloc(setup, 'sift'), shapes


def test_keypoints_are_looked_for_in_the_photographs_themselves(photographs, monkeypatch):
    pytest.importorskip('pycolmap')
    image = photograph(WALL, QUERY_POSE, LARGE).image
    true = localization_map().to_map(QUERY_POSE)[0]
    errors = {}
    for size, given in (('full', photographs), ('reduced', ())):
        localizer, shapes = made(given, monkeypatch)
        answer = localizer.localize(image, LARGE)
        assert answer.status == Status.LOCALIZED
        errors[size] = pose_errors(true, answer.T_map_cam)[0] / localizer.map.unit
        assert set(shapes) == {(480, 600, 3) if given else (80, 100, 3)}
        assert len(shapes) == 8 + 1  # the training images and the query
        u = torch.cat([one.uv[:, 0] for one in localizer.sparse_map.features])
        # images are enlarged to 400 pixels, photographs twice
        assert 0.9 < u.max() / (1200 if given else 400) < 1
    assert errors['full'] < 0.8 * errors['reduced']


@pytest.mark.parametrize(
    ('features', 'longer_side', 'searched'),
    [
        ('sift', 240, 480),
        ('sift', 960, 1600),
        ('sift', 1600, 1600),
        ('disk', 150, 300),
        ('disk', 240, 400),
        ('disk', 960, 960),
    ],
)
def test_small_photographs_are_enlarged(features, longer_side, searched):
    config = for_photographs(FULL_SIZE_CONFIGS[features], longer_side)
    assert config.longer_side == searched


def test_a_stopped_reconstruction_goes_on(photographs, tmp_path, monkeypatch):
    pytest.importorskip('pycolmap')
    monkeypatch.setattr(building_module, '_SAVED_EVERY_S', 0.0)

    def xyz(work, stop_at=None):
        stages = []

        def report(stage, step, *_):
            stages.append((stage, step))
            if (stage, step) == stop_at:
                raise OutOfTime

        setup = Setup(
            localization_map(),
            views(),
            work,
            device='cpu',
            report=report,
            photographs=photographs[:4],
        )
        return make_hloc(setup, 'sift').sparse_map.points.xyz, stages

    whole, _ = xyz(tmp_path / 'whole')
    for stop_at in (('keypoints', 2), ('matches', 3)):
        with pytest.raises(OutOfTime):
            xyz(tmp_path / 'stopped', stop_at)
    again, stages = xyz(tmp_path / 'stopped')
    assert stages == [('matches', 4), ('matches', 5), ('matches', 6), ('points', 1)]
    np.testing.assert_array_equal(again, whole)


def test_photographs_of_many_pixels_are_reduced(tmp_path):
    large = CAMERA.resized(3200, 40)
    images = TrainingImages.of_photographs(frames(tmp_path, large, 2), localization_map())
    assert (images.camera.width, images.camera.height) == (1600, 20)
    assert images.camera.fx == pytest.approx(large.fx / 2)
    assert [image.shape for image in images.rgb] == [(20, 1600, 3)] * 2


def test_transparent_pixels_have_the_background_of_the_map(tmp_path):
    transparent = frames(tmp_path, CAMERA, 1, channels=4)
    opaque = photograph(WALL, moved(VIEW, 0.15, 8.0, 0), CAMERA).image
    for background, color in (('white', 255), ('none', 0)):
        of_map = localization_map()
        of_map.background = background
        [image] = TrainingImages.of_photographs(transparent, of_map).rgb
        expected = opaque * (128 / 255) + color * (127 / 255)
        assert np.abs(image - expected).max() < 2
