# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.image_quality import ImageQuality

RNG = np.random.default_rng(0)
#: Smooth shapes with some detail, as a photograph has.
PHOTOGRAPH = cv2.GaussianBlur(RNG.integers(0, 256, (120, 160, 3), np.uint8), None, 1.2)
PHOTOGRAPH = cv2.normalize(PHOTOGRAPH, None, 20, 230, cv2.NORM_MINMAX)
SEEN = np.ones((120, 160), bool)
USUAL = ImageQuality.of(PHOTOGRAPH, SEEN)
#: Large shapes with sharp edges: strong contrast that blur leaves alone.
CHECKED = np.kron(RNG.integers(0, 2, (4, 5, 3)), np.ones((30, 32, 1))).astype(np.uint8) * 200 + 20


def test_contrast_and_ends_of_a_chessboard_are_those_by_hand():
    """A chessboard whose contrast and ends are known: half black, half white."""
    board = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((10, 10)))[..., None].repeat(3, 2)
    got = ImageQuality.of((255 * board).astype(np.uint8), np.ones((80, 80), bool))
    assert got.contrast == pytest.approx(127.5)
    assert (got.black, got.white) == (0.5, 0.5)
    grey = ImageQuality.of((64 + 64 * board).astype(np.uint8), np.ones((80, 80), bool))
    assert grey.contrast == pytest.approx(32)
    assert (grey.black, grey.white) == (0, 0)
    assert grey.sharpness == pytest.approx(got.sharpness, rel=0.02)  # whatever the exposure


@pytest.mark.parametrize(
    ('image', 'reason'),
    [
        (np.zeros_like(PHOTOGRAPH), '100% of the image is black'),
        (np.full_like(PHOTOGRAPH, 255), '100% of the image is over-exposed'),
        (np.full_like(PHOTOGRAPH, 128), 'next to no contrast'),
        (cv2.GaussianBlur(PHOTOGRAPH, None, 9), 'contrast|blurred'),
        (cv2.normalize(cv2.GaussianBlur(CHECKED, None, 6), None, 20, 230, cv2.NORM_MINMAX),
         'the image is blurred'),
        (cv2.convertScaleAbs(PHOTOGRAPH, alpha=4, beta=40), 'over-exposed, expected at most'),
    ],
    ids=['black', 'white', 'grey', 'out of focus', 'blurred', 'over-exposed'],
)  # fmt: skip
def test_useless_images_are_refused(image, reason):
    with pytest.raises(CaldiffError, match=reason):
        USUAL.check(image, SEEN)


@pytest.mark.parametrize(
    'image',
    [
        PHOTOGRAPH,
        cv2.convertScaleAbs(PHOTOGRAPH, alpha=0.5),
        cv2.convertScaleAbs(PHOTOGRAPH, alpha=1.4),
        cv2.GaussianBlur(PHOTOGRAPH, None, 1.0),
        (PHOTOGRAPH + RNG.normal(0, 8, PHOTOGRAPH.shape)).clip(0, 255).astype(np.uint8),
    ],
    ids=['itself', 'darker', 'brighter', 'a little blurred', 'noisy'],
)
def test_usable_images_are_not_refused(image):
    USUAL.check(image, SEEN)


def test_only_seen_pixels_count():
    image, seen = PHOTOGRAPH.copy(), SEEN.copy()
    image[:, 40:] = 0
    seen[:, 40:] = False
    with pytest.raises(CaldiffError, match='black'):
        USUAL.check(image, SEEN)
    USUAL.check(image, seen)
    with pytest.raises(CaldiffError, match='black'):
        USUAL.check(image, np.zeros_like(SEEN))


def test_worst_of_several():
    got = ImageQuality.worst([ImageQuality(40, 0.5, 0.1, 0.3), ImageQuality(50, 0.4, 0.2, 0.0)])
    assert got == ImageQuality(40, 0.4, 0.2, 0.3)
