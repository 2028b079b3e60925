# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from caldiff_ros.localization.overlay import draw_overlay

TEXT = 'LOCALIZED  confidence 0.97  error 0.0012  at (-1.234, 0.567, 8.901)  12.3 s'


def pictures(width: int, height: int):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (2, height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ('width', 'height', 'scale'), [(160, 120, 2), (640, 480, 1), (48, 40, 6), (60, 300, 4)]
)
def test_panels_are_the_images_enlarged_as_much_as_eyes_need(width, height, scale):
    query, render = pictures(width, height)
    overlay = draw_overlay(query, render, TEXT)
    row = overlay[-height * scale :]
    assert row.shape[1] == 3 * width * scale
    panels = np.split(row, 3, axis=1)
    for panel, image in zip(panels, (query, render, cv2.absdiff(query, render)), strict=True):
        np.testing.assert_array_equal(panel[::scale, ::scale], image)


@pytest.mark.parametrize('width', [160, 48, 640])
def test_every_word_is_inside_the_picture(width):
    query, render = pictures(width, 3 * width // 4)
    overlay = draw_overlay(query, render, TEXT)
    row_height = overlay.shape[1] // 3 * 3 // 4
    bar = overlay[: overlay.shape[0] - row_height]
    assert bar.shape[0] >= 48 and bar.max() > 200
    assert (bar[:, -4:] == bar[0, 0]).all()  # nothing is cut off at the right


def test_longer_text_takes_more_lines():
    query, render = pictures(160, 120)
    one, two = (draw_overlay(query, render, text).shape[0] for text in (TEXT, f'{TEXT}  {TEXT}'))
    assert two > one
