# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scenes made of others."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from plane_world import write_png

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.altered_scenes import open_split
from caldiff_ros.scenes.pixels import read_image


def opened(scene: Path, alteration: str, folder: Path):
    return open_split(scene.parent, f'{scene.name}{alteration}', '3-1', 0, folder)


def test_a_plain_scene_has_its_edges_and_no_texture(nerfstudio, tmp_path):
    image = np.full((40, 60, 4), 255, np.uint8)
    image[..., :3] = 60 + np.random.default_rng(0).integers(-15, 16, (40, 60, 1))
    image[:, 30:, :3] += 120
    image[:5, :, 3] = 0
    for path in (nerfstudio / 'images').iterdir():
        write_png(path, image)
    _, train, test = opened(nerfstudio, '+plain', tmp_path / 'made')
    for frame in (*train, *test):
        assert frame.image_path.is_relative_to(tmp_path / 'made/nerfstudio+plain')
        plain = cv2.imread(str(frame.image_path), cv2.IMREAD_UNCHANGED)
        left, right = plain[10:30, 5:25, :3], plain[10:30, 35:55, :3]
        assert left.std() < 3 < 8 < image[10:30, 5:25, :3].std()
        assert left.mean() == pytest.approx(60, abs=2)
        assert right.mean() - left.mean() == pytest.approx(120, abs=2)
        assert float(plain[20, 31, 0]) - plain[20, 28, 0] > 100
        np.testing.assert_array_equal(plain[..., 3], image[..., 3])


def test_grey_images_of_16_bits_are_smoothed_as_well(nerfstudio, tmp_path):
    for path in (nerfstudio / 'images').iterdir():
        write_png(path, np.full((40, 60), 60 * 257, np.uint16))
    _, train, _ = opened(nerfstudio, '+plain', tmp_path / 'made')
    np.testing.assert_array_equal(read_image(train[0].image_path), np.full((40, 60, 3), 60))


def test_what_is_no_image_is_explained(nerfstudio, tmp_path):
    _, train, _ = opened(nerfstudio, '', tmp_path)
    train[0].image_path.write_bytes(train[0].image_path.read_bytes()[:60])
    with pytest.raises(CaldiffError, match='is not a readable image'):
        opened(nerfstudio, '+plain', tmp_path / 'made')


def test_a_scene_that_is_there_twice(nerfstudio, tmp_path):
    scene, train, test = opened(nerfstudio, '', tmp_path)
    twin, both, same = opened(nerfstudio, '+twice', tmp_path)
    assert len(train) == 3 and len(both) == 6 and len({frame.name for frame in both}) == 6
    assert [frame.name for frame in same] == [frame.name for frame in test]
    centers = np.array([frame.T_map_cam[:3, 3] for frame in train])
    shift = [2 * (centers.max(0) - centers.min(0)).max(), 0, 0]
    for frame, again in zip(train, both[3:], strict=True):
        assert again.image_path == frame.image_path
        np.testing.assert_array_equal(again.T_map_cam[:3, :3], frame.T_map_cam[:3, :3])
        np.testing.assert_allclose(again.T_map_cam[:3, 3] - frame.T_map_cam[:3, 3], shift)
    assert scene.name == nerfstudio.name and twin.name == f'{nerfstudio.name}+twice'


def test_an_unknown_alteration_is_explained(nerfstudio, tmp_path):
    with pytest.raises(CaldiffError, match=r'\+thrice is not known.*\+plain, \+twice'):
        opened(nerfstudio, '+thrice', tmp_path)
