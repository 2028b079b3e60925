# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What belongs to the robot, or to no picture at all, is not compared with the map."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.localization import LocalizationMap, Localizer, Status
from caldiff_ros.localization.masks import read_mask, seen_through, shown_pixels

ROOT = Path(__file__).parents[2]
CAMERA = Camera(**json.loads((ROOT / 'demo/camera.json').read_text()))
TRUTH = json.loads((ROOT / 'demo/poses.json').read_text())[3]


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)


@pytest.fixture(scope='module')
def shipped():
    return LocalizationMap.load(ROOT / 'maps/diorama_room')


@pytest.fixture(scope='module')
def photograph():
    return cv2.imread(str(ROOT / 'demo' / TRUTH['image']))[..., ::-1].copy()


def bars(image, **thickness):
    """The image with bars of (12, 10, 14), as a video that was fitted into a frame has them."""
    image = image.copy()
    image[: thickness.get('top', 0)] = 12, 10, 14
    image[len(image) - thickness.get('bottom', 0) :] = 12, 10, 14
    image[:, : thickness.get('left', 0)] = 12, 10, 14
    image[:, image.shape[1] - thickness.get('right', 0) :] = 12, 10, 14
    return image


@pytest.mark.parametrize(
    ('thickness', 'rows', 'columns'),
    [
        ({}, (0, 120), (0, 160)),
        ({'top': 15, 'bottom': 15}, (17, 103), (0, 160)),  # two pixels of rim beside each
        ({'left': 20, 'right': 20}, (0, 120), (22, 138)),
        ({'bottom': 30}, (0, 88), (0, 160)),
        ({'top': 15, 'bottom': 15, 'left': 20}, (17, 103), (22, 160)),
        ({'top': 2}, (0, 120), (0, 160)),  # a dark row or two are no letterbox
        ({'top': 50, 'bottom': 50}, (0, 120), (0, 160)),  # too little remains to be one
    ],
)
def test_bars_of_one_colour_show_nothing(noise, thickness, rows, columns):
    expected = np.zeros((120, 160), dtype=bool)
    expected[slice(*rows), slice(*columns)] = True
    shown = shown_pixels(bars(noise, **thickness), None, 'none')
    np.testing.assert_array_equal(shown, expected)


def test_bars_survive_a_compression(noise):
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    smooth = cv2.normalize(smooth, None, 60, 250, cv2.NORM_MINMAX)
    jpeg = cv2.imencode('.jpg', bars(smooth, top=20, bottom=20), [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    shown = shown_pixels(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), None, 'none')
    assert not shown[:14].any() and not shown[-14:].any() and shown[24:96].all()


def test_background_of_the_map_is_part_of_the_scene(noise):
    white = noise.copy()
    white[:30] = 255
    assert shown_pixels(white, None, 'white').all()
    assert not shown_pixels(white, None, 'black')[:30].any()
    assert not shown_pixels(white, None, 'none')[:30].any()


def test_image_of_one_colour_has_no_bars():
    assert shown_pixels(np.full((60, 80, 3), 7, np.uint8), None, 'none').all()


def test_mask_of_another_resolution_is_scaled(noise):
    mask = np.ones((60, 80), dtype=bool)
    mask[40:, 10:30] = False
    shown = shown_pixels(noise, mask, 'none')
    expected = np.ones((120, 160), dtype=bool)
    expected[80:, 20:60] = False
    np.testing.assert_array_equal(shown, expected)


def test_mask_of_another_aspect_is_refused(noise):
    with pytest.raises(CaldiffError, match='mask is 80x80 pixels but the image is 160x120'):
        shown_pixels(noise, np.ones((80, 80), dtype=bool), 'none')


def test_mask_follows_the_image_through_its_camera():
    source = Camera(160, 120, 200.0, 200.0, 80.0, 60.0)
    shown = np.ones((120, 160), dtype=bool)
    shown[:, :40] = False
    # half the focal length: the image takes the inner half of the target
    target = Camera(160, 120, 100.0, 100.0, 80.0, 60.0)
    seen = seen_through(shown, source, target)
    # column 40 of the source is at 80 + (40 - 80) / 2 = 60 of the target
    assert not seen[40:80, 41:59].any()
    assert seen[31:89, 61:119].all()


def test_files_that_are_no_mask_are_refused(tmp_path):
    with pytest.raises(CaldiffError, match=r'nothing\.png cannot be read'):
        read_mask(tmp_path / 'nothing.png')
    (tmp_path / 'text.png').write_text('black')
    with pytest.raises(CaldiffError, match=r'text\.png cannot be read'):
        read_mask(tmp_path / 'text.png')
    cv2.imwrite(str(tmp_path / 'black.png'), np.zeros((6, 8), np.uint8))
    with pytest.raises(CaldiffError, match='with 0 pixels to use'):
        read_mask(tmp_path / 'black.png')


def with_arm(image, from_row):
    """An arm over all rows from one on, and the mask that a user would draw."""
    image = image.copy()
    image[from_row:] = np.random.default_rng(1).integers(90, 140, (240 - from_row, 320, 1))
    mask = np.ones(image.shape[:2], dtype=bool)
    mask[from_row - 2 :] = False
    return image, mask


def is_found(answer):
    distance = np.linalg.norm(answer.T_map_cam[:3, 3] - np.array(TRUTH['T_map_cam'])[:3, 3])
    return answer.status == Status.LOCALIZED and distance < 0.01


def test_a_quarter_of_the_image_may_show_the_robot(shipped, photograph):
    image, _ = with_arm(photograph, 180)
    assert is_found(Localizer(shipped, device='cpu').localize(image, CAMERA))


def test_robot_in_the_image_is_overcome_by_a_mask(shipped, photograph):
    image, mask = with_arm(photograph, 110)
    blind = Localizer(shipped, device='cpu').localize(image, CAMERA)
    assert blind.status == Status.NOT_LOCALIZED
    by_user = Localizer(shipped, device='cpu', mask=mask).localize(image, CAMERA)
    by_map = Localizer(replace(shipped, mask=mask), device='cpu').localize(image, CAMERA)
    assert is_found(by_user)
    np.testing.assert_array_equal(by_user.T_map_cam, by_map.T_map_cam)
    assert by_map.status == by_user.status


def test_letterboxed_image_is_localized(shipped, photograph):
    answer = Localizer(shipped, device='cpu').localize(bars(photograph, top=30, bottom=30), CAMERA)
    assert answer.status == Status.LOCALIZED
    assert np.linalg.norm(answer.T_map_cam[:3, 3] - np.array(TRUTH['T_map_cam'])[:3, 3]) < 0.01
