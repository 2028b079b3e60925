# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.camera import resample


def wave(u, v):
    """A smooth picture defined over continuous directions, (..., 3) in 0..255."""
    waves = [np.sin(9 * u + 5 * v), np.cos(7 * v - 3 * u), np.sin(4 * u) * np.cos(6 * v)]
    return 127 + 110 * np.stack(waves, axis=-1)


def photograph(camera):
    """The picture as a camera with distortion takes it, ray by ray through OpenCV's inverse."""
    uv_opencv = camera.pixel_centers().reshape(-1, 1, 2) - 0.5
    K = camera.matrix() - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    D = np.array(camera.distortion) if camera.distortion else np.zeros(5)
    criteria = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-9)
    if camera.distortion_model == 'equidistant':
        xy = cv2.fisheye.undistortPoints(uv_opencv, K, D, criteria=criteria)
    else:
        # only OpenCV 4 has the function that iterates, and only that of 5 takes the criteria
        iterated = getattr(cv2, 'undistortPointsIter', cv2.undistortPoints)
        xy = iterated(uv_opencv, K, D, R=None, P=None, criteria=criteria)
    picture = wave(xy[:, 0, 0], xy[:, 0, 1])
    return np.rint(picture).astype(np.uint8).reshape(camera.height, camera.width, 3)


def test_the_same_camera_changes_nothing():
    camera = Camera(16, 12, 20, 20, 8, 6)
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    result, seen = resample(image, camera, camera)
    np.testing.assert_array_equal(result, image)
    assert seen.all()


def test_halving_takes_the_mean_of_four_pixels():
    camera = Camera(16, 12, 20, 20, 8, 6)
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    result, _ = resample(image, camera, camera.downscaled(2))
    mean = image.reshape(6, 2, 8, 2, 3).mean(axis=(1, 3))
    assert np.abs(result - mean).max() <= 0.5


@pytest.mark.parametrize(
    ('model', 'distortion'),
    [
        ('plumb_bob', (-0.2, 0.05, 1e-3, -2e-3, 0.0)),
        ('rational_polynomial', (0.4, -0.2, 5e-4, -3e-4, 0.01, 0.7, -0.25, 0.03)),
        ('equidistant', (0.02, -0.01, 0.004, -0.001)),
        ('none', ()),
    ],
)
@pytest.mark.parametrize(
    'target', [Camera(80, 60, 70, 70, 40, 30), Camera(90, 70, 150, 140, 47, 33)]
)
def test_another_camera_sees_the_picture_as_if_it_had_taken_it(model, distortion, target):
    source = Camera(320, 240, 260, 265, 158, 123, model, distortion)
    result, seen = resample(photograph(source), source, target)
    error = np.abs(result.astype(float) - photograph(target))
    # Pixels at the rim of what the source saw are partly extrapolated.
    inner = cv2.erode(seen.astype(np.uint8), np.ones((5, 5)), borderValue=1).astype(bool)
    assert inner.mean() > 0.6
    assert error[inner].max() < 4
    assert error[inner].mean() < 0.7


def test_the_mask_is_the_field_of_view_of_the_source():
    source = Camera(100, 100, 100, 100, 50, 50)
    target = Camera(200, 100, 100, 100, 100, 50)
    _, seen = resample(np.zeros((100, 100, 3), np.uint8), source, target)
    expected = np.zeros((100, 200), dtype=bool)
    expected[:, 50:150] = True
    np.testing.assert_array_equal(seen, expected)


def test_directions_that_the_distortion_folds_back_are_not_seen():
    # x (1 - 0.35 x^2) grows up to x = 1 / sqrt(3 * 0.35) = 0.976 only.
    source = Camera(640, 480, 400, 400, 320, 240, 'plumb_bob', (-0.35, 0.0, 0.0, 0.0))
    target = Camera(640, 480, 150, 150, 320, 240)
    _, seen = resample(np.zeros((480, 640, 3), np.uint8), source, target)
    x = np.abs(np.arange(640) + 0.5 - 320) / 150
    row = seen[240]
    assert row[x < 0.96].all()
    assert not row[x > 0.98].any()


def test_an_image_of_another_size_is_refused():
    camera = Camera(16, 12, 20, 20, 8, 6)
    with pytest.raises(CaldiffError, match='16x13'):
        resample(np.zeros((13, 16, 3), np.uint8), camera, camera)


def test_a_fine_pattern_becomes_gray_when_a_distorted_image_is_reduced():
    source = Camera(320, 240, 260, 260, 160, 120, 'plumb_bob', (-0.1, 0.0, 0.0, 0.0))
    checkers = (np.indices((240, 320)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = np.repeat(checkers[..., None], 3, axis=2)
    result, seen = resample(image, source, Camera(80, 60, 65, 65, 40, 30))
    assert np.abs(result[seen].astype(float) - 127.5).max() < 2
