# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels that a dataset wants ignored: nerfstudio's ``mask_path``, black where they are."""

import numpy as np
import pytest
from plane_world import write_png

from caldiff_ros.geometry import Normalization
from caldiff_ros.mapping.nerfacto_training import write_dataset
from caldiff_ros.mapping.views import Views
from caldiff_ros.scenes import load_mask, open_scene

NORMALIZATION = Normalization((0.0, 0.0, 3.0), 2.0)


@pytest.fixture
def masked(nerfstudio, edit_json):
    """One mask for all images, black in its lower quarter."""
    mask = np.full((40, 60), 255, np.uint8)
    mask[30:] = 0
    write_png(nerfstudio / 'masks/arm.png', mask)
    edit_json(
        nerfstudio / 'transforms.json',
        lambda c: [frame.update(mask_path='masks\\arm.png') for frame in c['frames']],
    )
    return nerfstudio


def test_black_is_masked_at_every_size(masked):
    frame = open_scene(masked).frames[0]
    np.testing.assert_array_equal(load_mask(frame), np.arange(40)[:, None] < np.full(60, 30))
    half = load_mask(frame, frame.camera.pinhole().downscaled(2))
    np.testing.assert_array_equal(half, np.arange(20)[:, None] < np.full(30, 15))
    # 40 rows on 16: row 12 of these begins at row 30
    fifths = load_mask(frame, frame.camera.pinhole().downscaled(2.5))
    assert fifths[:12].all() and not fifths[12:].any()


def test_a_pixel_of_which_a_part_is_masked_is_masked(masked):
    write_png(masked / 'masks/arm.png', np.pad(np.full((29, 60), 9, np.uint8), ((0, 11), (0, 0))))
    frame = open_scene(masked).frames[0]
    half = load_mask(frame, frame.camera.pinhole().downscaled(2))
    assert half[:14].all() and not half[14:].any()


def test_masked_pixels_are_not_seen_and_have_no_depth(masked):
    frames = open_scene(masked).frames
    views = Views.load(frames, frames[0].camera, NORMALIZATION)
    assert bool(views.seen[:, :30].all()) and not bool(views.seen[:, 30:].any())
    depth = views.require_depth()
    assert bool((depth[:, :30] > 0).all()) and not bool(depth[:, 30:].any())
    # nothing of what is masked is left in the colours
    for rgb in views.rgb:
        mean = rgb[:30].mean(dim=(0, 1))
        assert float((rgb[30:] - mean).abs().max()) < 1 / 255


def test_masks_of_another_resolution_than_the_images(masked):
    write_png(masked / 'masks/arm.png', np.pad(np.full((15, 30), 255, np.uint8), ((0, 5), (0, 0))))
    mask = load_mask(open_scene(masked).frames[0])
    assert mask[:29].all() and not mask[31:].any()


def test_a_missing_mask_is_told(masked, caplog):
    (masked / 'masks/arm.png').unlink()
    assert all(frame.mask_path is None for frame in open_scene(masked).frames)
    assert '4 of 4 frames have no mask' in caplog.text


def test_nerfstudio_gets_the_masks(masked, tmp_path):
    frames = open_scene(masked).frames
    views = Views.load(frames, frames[0].camera, NORMALIZATION)
    write_dataset(views, 'none', tmp_path / 'dataset')
    written = open_scene(tmp_path / 'dataset').frames
    for frame, seen in zip(written, views.seen.numpy(), strict=True):
        np.testing.assert_array_equal(load_mask(frame), seen)
