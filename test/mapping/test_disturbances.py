# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is put in front of images, and how they are blurred by motion."""

import math

import numpy as np
import pytest

from caldiff_ros.mapping.disturbances import SILHOUETTES, motion_blurred, occlude


@pytest.mark.parametrize('textured', [False, True])
@pytest.mark.parametrize('silhouette', list(SILHOUETTES))
def test_about_a_share_of_the_image_is_hidden(silhouette, textured):
    """By one colour or by many; the rest and the given image stay as they are."""
    image = np.full((90, 160, 3), (1, 2, 3), np.uint8)
    random = np.random.default_rng(0)
    shares = []
    for _ in range(40):
        hidden = occlude(image, 0.25, random, silhouette, textured)
        changed = (hidden != image).any(-1)
        colors = np.unique(hidden[changed], axis=0)
        assert len(colors) > 20 if textured else len(colors) == 1
        shares.append(changed.mean())

    assert (image == (1, 2, 3)).all()
    # what reaches beyond the edge hides less
    assert 0.12 < np.median(shares) < 0.3
    assert max(shares) < 0.33


def test_silhouettes_differ_in_place_and_kind():
    image = np.zeros((90, 160, 3), np.uint8)
    random = np.random.default_rng(1)
    masks = [(occlude(image, 0.2, random) > 0).any(-1) for _ in range(20)]
    assert len({mask.tobytes() for mask in masks}) == 20
    # only boxes can be away from the lower edge
    assert 0 < sum(not mask[-1].any() for mask in masks) < 20


@pytest.mark.parametrize(('angle', 'axis'), [(0.0, 1), (math.pi / 2, 0)])
def test_motion_draws_a_point_out_into_a_line(angle, axis):
    """Of the motion's length, which has length / sqrt(12) as its standard deviation."""
    image = np.zeros((61, 61, 3), np.uint8)
    image[30, 30] = 250
    for length_px in (6.0, 12.0):
        line = motion_blurred(image, length_px, angle)[..., 0].astype(float)
        assert line.sum() == pytest.approx(250, rel=0.1)
        along = line.sum(1 - axis) / line.sum()
        across = line.sum(axis) / line.sum()
        places = np.arange(61)
        spread = math.sqrt(along @ (places - along @ places) ** 2)
        assert spread == pytest.approx(length_px / math.sqrt(12), rel=0.15)
        assert math.sqrt(across @ (places - across @ places) ** 2) < 0.6


def test_hardly_any_motion_leaves_an_image_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    np.testing.assert_allclose(motion_blurred(image, 0.1, 0.5).astype(int), image, atol=40)
