# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from wall import CAMERA, VIEW, Wall, moved

from caldiff_ros.localization.query import Query, blurred, error_of, fit_exposure


def query_of(image, seen=None):
    seen = np.ones(image.shape[:2], bool) if seen is None else seen
    return Query(image, seen, CAMERA, torch.device('cpu'))


def test_region_lies_around_keypoints():
    """One dot has its keypoints on it; the pixels within 5 px of them are a small square."""
    image = np.full((80, 100, 3), 40, np.uint8)
    cv2.circle(image, (70, 30), 3, (250, 250, 250), -1)
    pixels = query_of(image).keypoint_region(100, 5).numpy()
    v, u = np.divmod(pixels, 100)
    assert 100 <= len(pixels) < 600
    assert np.abs(u - 70).max() <= 5 + 6
    assert np.abs(v - 30).max() <= 5 + 6


def test_region_keeps_to_what_was_seen(scene):
    _, _, query = scene
    seen = query.seen.copy()
    seen[:, 50:] = False
    pixels = query_of(query.image, seen).keypoint_region().numpy()
    assert len(pixels) > 0
    assert (pixels % 100).max() < 50


def test_region_of_an_image_without_keypoints_is_everything():
    pixels = query_of(np.full((80, 100, 3), 90, np.uint8)).keypoint_region()
    assert len(pixels) == 8000


def test_photometric_error_is_the_mean_squared_difference(scene):
    field, true, query = scene
    poses = moved(true, 0.02, 3, seed=0, n=3)
    rendered = field.render(poses, CAMERA).rgb.numpy()
    expected = ((rendered - query.image / 255.0) ** 2).mean(axis=(1, 2, 3))
    assert query.photometric_error(field, poses).tolist() == pytest.approx(expected, rel=1e-4)
    assert float(query.photometric_error(field, true)[0]) < 1e-5


def test_robust_error_does_not_take_the_colour_of_what_stands_in_front():
    """A grey scene, three of ten pixels covered by white: half way to white is nobody's view."""
    image = np.full((80, 100, 3), 51, np.uint8)
    image[:24] = 255
    query = query_of(image)
    renders = torch.tensor([0.2, 0.5])[:, None, None].expand(2, 8000, 3)
    covered, open_ = 3 * np.array([0.8, 0.5]) ** 2, 3 * np.array([0.0, 0.3]) ** 2
    squared = (0.3 * covered + 0.7 * open_) / 3
    robust = (0.3 * 0.09 * covered / (0.09 + covered) + 0.7 * 0.09 * open_ / (0.09 + open_)) / 3
    assert squared[0] > squared[1] and robust[0] < robust[1]
    differences = query.squared_differences(renders, query.seen_pixels)
    assert error_of(differences, None).tolist() == pytest.approx(squared, rel=1e-5)
    by_robust = error_of(differences, 0.3)
    assert by_robust.tolist() == pytest.approx(robust, rel=1e-5)
    assert float(by_robust.max()) <= 0.3**2 / 3


def test_exposure_is_the_least_squares_fit(scene):
    """Against numpy, with weights, for a picture with enough contrast."""
    field, true, query = scene
    rgb = field.render(moved(true, 0.004, 0.5, seed=0, n=2), CAMERA).rgb.flatten(1, 2)
    target = 0.8 * query.rgb.view(-1, 3) + 0.05
    weight = torch.rand(len(target), 1, generator=torch.Generator().manual_seed(0))
    gain, offset = fit_exposure(rgb, target, weight)
    for i in range(2):
        for c in range(3):
            root = weight.sqrt().numpy()
            columns = np.stack([rgb[i, :, c].numpy(), np.ones(len(target))], axis=1) * root
            right = target[:, c].numpy() * root[:, 0]
            expected = np.linalg.lstsq(columns, right, rcond=None)[0].tolist()
            assert float(gain[i, 0, c]) == pytest.approx(expected[0], abs=0.02)
            assert float(offset[i, 0, c]) == pytest.approx(expected[1], abs=0.02)


def test_exposure_is_not_spoilt_by_what_stands_in_front(scene):
    field, true, query = scene
    rgb = field.render(true, CAMERA).rgb.flatten(1, 2)
    target = 0.8 * query.rgb.view(-1, 3) + 0.05
    target[: len(target) // 4] = torch.tensor([0.9, 0.1, 0.3])
    gain, offset = fit_exposure(rgb, target)
    torch.testing.assert_close(gain, torch.full((1, 1, 3), 0.8), rtol=0, atol=0.03)
    torch.testing.assert_close(offset, torch.full((1, 1, 3), 0.05), rtol=0, atol=0.03)


def test_exposure_of_an_image_that_is_burnt_out_in_parts(scene):
    field, true, query = scene
    rgb = field.render(true, CAMERA).rgb.flatten(1, 2)
    rgb[:, : len(query.directions) // 3] = 1  # a white wall behind
    target = (1.4 * rgb[0]).clamp(0, 1)
    gain, offset = fit_exposure(rgb, target)
    torch.testing.assert_close(gain, torch.full((1, 1, 3), 1.4), rtol=0, atol=0.05)
    torch.testing.assert_close(offset, torch.zeros(1, 1, 3), rtol=0, atol=0.05)
    exposed = replace(query, affine_exposure=True).exposed(rgb, target)
    torch.testing.assert_close(exposed[0], target, rtol=0, atol=0.05)


def test_exposure_does_not_explain_everything_away(scene):
    """A flat render stays flat, and a picture is not turned into its negative."""
    _, _, query = scene
    target = query.rgb.view(-1, 3)
    gain, _ = fit_exposure(torch.full((1, len(target), 3), 0.5), target)
    torch.testing.assert_close(gain, torch.ones(1, 1, 3))
    gain, _ = fit_exposure(1 - target[None], target)
    assert float(gain.min()) == 0.5


def test_levels_see_the_same_scene():
    """The render of the small camera is the large render, averaged."""
    field = Wall(cells=12)
    image = (field.render(VIEW, CAMERA).rgb[0] * 255).round().to(torch.uint8).numpy()
    level = query_of(image).level(25)
    assert level.image.shape == (20, 25, 3)
    assert float(level.photometric_error(field, VIEW)[0]) < 1e-3
    assert query_of(image).level(500).image is image


def test_blur_keeps_constants_and_spreads_points():
    constant = torch.full((1, 9, 9, 3), 0.3)
    torch.testing.assert_close(blurred(constant, 0.8), constant)
    point = torch.zeros(1, 9, 9, 1)
    point[0, 4, 4] = 1
    out = blurred(point, sigma_px=0.8)[0, ..., 0].numpy()
    kernel = cv2.getGaussianKernel(5, 0.8)
    np.testing.assert_allclose(out[2:7, 2:7], kernel @ kernel.T, atol=1e-6)
