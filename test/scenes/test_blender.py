# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np

from caldiff_ros.scenes import load_alpha, load_image, open_scene


def test_focal_length_comes_from_the_angle_and_the_image(blender):
    scene = open_scene(blender)
    camera = scene.frames[0].camera
    assert (camera.width, camera.height, camera.cx, camera.cy) == (40, 40, 20, 20)
    assert math.isclose(camera.fx, 20 / math.tan(math.radians(30)))
    assert camera.fy == camera.fx


def test_subsets_are_the_files(blender):
    scene = open_scene(blender)
    assert [f.name for f in scene.frames] == ['train/r_0', 'train/r_1', 'test/r_0', 'test/r_1']
    train, test = scene.split(None)
    assert [f.name for f in train] == ['train/r_0', 'train/r_1']
    assert [f.name for f in test] == ['test/r_0', 'test/r_1']
    assert scene.test_frames() == test
    assert (scene.background, scene.metric, scene.aabb) == ('white', False, None)


def test_a_folder_with_only_a_test_set_opens(blender):
    (blender / 'transforms_train.json').unlink()
    scene = open_scene(blender)
    assert [f.name for f in scene.test_frames()] == ['test/r_0', 'test/r_1']
    assert scene.split(None)[0] == []


def test_a_folder_without_test_set_is_evaluated_on_all_its_frames(blender):
    (blender / 'transforms_test.json').unlink()
    scene = open_scene(blender)
    assert [f.name for f in scene.test_frames()] == ['train/r_0', 'train/r_1']


def test_transparent_pixels_take_the_background(blender):
    frame = open_scene(blender).frames[0]
    assert (load_image(frame, background='white')[:, :4] == 255).all()
    assert (load_image(frame, background='black')[:, :4] == 0).all()
    assert (load_image(frame, background='none')[:, :4] == 0).all()
    np.testing.assert_array_equal(load_image(frame)[:, 4:], load_image(frame, None, 'black')[:, 4:])
    alpha = load_alpha(frame)
    assert (alpha[:, :4] == 0).all()
    assert (alpha[:, 4:] == 1).all()


def test_halved_images_are_means_of_four_composited_pixels(blender):
    frame = open_scene(blender).frames[0]
    half = load_image(frame, frame.camera.downscaled(2)).astype(float)
    mean = load_image(frame).reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - mean).max() <= 0.5


def test_missing_images_are_skipped_with_one_warning_that_counts_them(blender, caplog):
    (blender / 'train/r_0.png').unlink()
    scene = open_scene(blender)
    assert [f.name for f in scene.split(None)[0]] == ['train/r_1']
    assert [record.levelname for record in caplog.records] == ['WARNING']
    assert '1 of 2 frames' in caplog.text
