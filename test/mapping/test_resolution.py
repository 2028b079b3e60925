# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The working resolution, by the images and the machine."""

import cv2
import numpy as np
import pytest
import torch

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.mapping import resolution
from caldiff_ros.mapping.gaussian_training import GaussianTraining
from caldiff_ros.mapping.resolution import working_resolution
from caldiff_ros.mapping.tiny_training import TinyNerfTraining
from caldiff_ros.scenes import Frame

CPU = torch.device('cpu')


@pytest.fixture(autouse=True)
def two_threads():
    """The estimates are those of two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def frames(tmp_path):
    """Frames of one image file, a photograph or one with a transparent rim."""

    def make(width, height, n=1, alpha=False):
        pixels = np.full((height, width, 4 if alpha else 3), 90, np.uint8)
        if alpha:
            pixels[:5, :, 3] = 0
        path = tmp_path / 'image.png'
        assert cv2.imwrite(str(path), pixels)
        camera = Camera(width, height, float(width), float(width), width / 2, height / 2)
        return [Frame(str(i), path, camera, np.eye(4)) for i in range(n)]

    return make


def size(chosen):
    return chosen.camera.width, chosen.camera.height, chosen.factor


def test_photographs_of_rooms_are_reduced_to_480_pixels(frames):
    assert size(working_resolution(frames(1920, 1080), GaussianTraining(), CPU)) == (480, 270, 4)
    assert size(working_resolution(frames(1080, 1920), GaussianTraining(), CPU)) == (270, 480, 4)


def test_small_images_stay_as_they_are(frames):
    assert size(working_resolution(frames(320, 240), GaussianTraining(), CPU)) == (320, 240, 1)


def test_objects_need_fewer_pixels(frames):
    chosen = working_resolution(frames(800, 800, alpha=True), GaussianTraining(), CPU)
    assert size(chosen) == (200, 200, 4)


def test_many_images_are_smaller_so_that_the_training_takes_minutes(frames):
    # 12500 steps: 875 s at 480x270, 668 s at 400x225, and 489 s at 320x180
    chosen = working_resolution(frames(960, 540, n=1000), GaussianTraining(), CPU)
    assert size(chosen) == (320, 180, 3)
    assert chosen.field_s == pytest.approx(12500 * (0.010 + 0.45e-6 * 320 * 180))


def test_images_are_smaller_where_the_memory_is(frames, monkeypatch):
    # 60 images of 480x270 take 350 MB, of 400x225 243 MB
    names = {'SC_PAGE_SIZE': 4096, 'SC_PHYS_PAGES': 10**9 // 4096}
    monkeypatch.setattr(resolution.os, 'sysconf', names.__getitem__)
    chosen = working_resolution(frames(960, 540, n=60), GaussianTraining(), CPU)
    assert chosen.camera.width == 400


def test_a_given_factor_counts(frames):
    chosen = working_resolution(frames(1920, 1080), GaussianTraining(), CPU, factor=2.0)
    assert size(chosen) == (960, 540, 2)
    with pytest.raises(CaldiffError, match=r'downscale factor is 0\.0, expected a positive'):
        working_resolution(frames(1920, 1080), GaussianTraining(), CPU, factor=0.0)


def test_it_says_how_long_the_build_takes(frames):
    # 2200 steps of 10 + 58.32 ms are 150 s; 1.2 times that, and 90 s more, are 270 s
    chosen = working_resolution(frames(960, 540, n=35), GaussianTraining(), CPU)
    assert str(chosen) == (
        '35 images of 480x270 pixels, reduced 2 times: about 3 min for the radiance field, '
        '5 min for the map'
    )
    of_unknown_length = working_resolution(frames(960, 540, n=35), TinyNerfTraining(), CPU)
    assert str(of_unknown_length) == '35 images of 480x270 pixels, reduced 2 times'


def test_of_a_field_that_is_there_only_the_map_takes_time(frames):
    # the stages besides the field: 180 s by one thread, 90 s by two
    chosen = working_resolution(frames(960, 540, n=100), None, CPU)
    assert str(chosen) == '100 images of 480x270 pixels, reduced 2 times: about 2 min for the map'
