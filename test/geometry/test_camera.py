# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import cv2
import numpy as np
import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera

K_OPENCV = np.array([[500.0, 0, 320.0], [0, 510.0, 240.0], [0, 0, 1]])
PLUMB_BOB = (-0.28, 0.07, 1e-3, -2e-3, 0.01)
RATIONAL = (0.4, -0.2, 5e-4, -3e-4, 0.01, 0.7, -0.25, 0.03)
FISHEYE = (0.02, -0.01, 0.004, -0.001)


@pytest.fixture
def points(rng):
    return np.concatenate([rng.uniform(-1, 1, (50, 2)), rng.uniform(1.5, 4, (50, 1))], axis=1)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make(model, distortion):
    # The principal point of OpenCV, moved to continuous coordinates.
    return Camera(640, 480, 500, 510, 320.5, 240.5, model, distortion)


def test_pinhole_projects_in_closed_form(points):
    uv = make('none', ()).project(points)
    x, y, z = points.T
    np.testing.assert_allclose(uv, np.stack([500 * x / z + 320.5, 510 * y / z + 240.5], 1))


@pytest.mark.parametrize(
    ('model', 'D'), [('plumb_bob', PLUMB_BOB), ('rational_polynomial', RATIONAL)]
)
def test_brown_models_agree_with_opencv_half_a_pixel_away(points, model, D):
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K_OPENCV, np.array(D))
    np.testing.assert_allclose(make(model, D).project(points), expected[:, 0] + 0.5, atol=1e-9)


def test_plumb_bob_follows_its_formula(points):
    k1, k2, p1, p2, k3 = PLUMB_BOB
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    expected = np.stack([500 * xd + 320.5, 510 * yd + 240.5], axis=1)
    np.testing.assert_allclose(make('plumb_bob', PLUMB_BOB).project(points), expected, atol=1e-9)


def test_equidistant_follows_its_formula(points):
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    r = np.hypot(x, y)
    theta = np.arctan(r)
    theta_d = theta * (1 + sum(k * theta ** (2 * i + 2) for i, k in enumerate(FISHEYE)))
    expected = np.stack([500 * x / r * theta_d + 320.5, 510 * y / r * theta_d + 240.5], axis=1)
    np.testing.assert_allclose(make('equidistant', FISHEYE).project(points), expected, atol=1e-6)


def test_points_behind_the_camera_have_no_image():
    uv = make('plumb_bob', PLUMB_BOB).project([[0.1, 0.2, 1.0], [0.1, 0.2, -1.0], [0, 0, 0]])
    assert np.isnan(uv).all(axis=1).tolist() == [False, True, True]


def test_pixel_directions_are_projected_back_to_pixel_centres():
    camera = Camera(5, 3, 7.0, 9.0, 2.2, 1.7)
    directions = camera.pixel_directions()
    assert directions.shape == (15, 3)
    # Row by row: pixel (i, j) = (3, 1) is number 1 * 5 + 3 and has its centre at (3.5, 1.5).
    np.testing.assert_allclose(directions[8], [(3.5 - 2.2) / 7, (1.5 - 1.7) / 9, 1])
    np.testing.assert_allclose(camera.project(directions)[8], [3.5, 1.5])


def test_directions_of_a_distorted_camera_are_refused():
    with pytest.raises(CaldiffError, match='pinhole'):
        make('plumb_bob', PLUMB_BOB).pixel_directions()


def test_resizing_keeps_the_field_of_view(points):
    camera = make('plumb_bob', PLUMB_BOB)
    half = camera.downscaled(2)
    assert (half.width, half.height) == (320, 240)
    np.testing.assert_allclose(half.project(points), camera.project(points) / 2)


@pytest.mark.parametrize(
    ('kwargs', 'says'),
    [
        ({'fx': 0.0}, 'focal lengths'),
        ({'cx': math.nan}, 'finite'),
        ({'width': 0}, 'positive size'),
        ({'distortion_model': 'plumb_bob', 'distortion': (0.1,)}, '1 coefficients'),
        ({'distortion_model': 'ftheta'}, 'ftheta'),
    ],
)
def test_bad_intrinsics_are_refused(kwargs, says):
    good = {'width': 64, 'height': 48, 'fx': 50.0, 'fy': 50.0, 'cx': 32.0, 'cy': 24.0}
    with pytest.raises(CaldiffError, match=says):
        Camera(**(good | kwargs))


def test_the_shared_view_is_that_of_the_images_at_distance_one():
    """90 x 90 deg reach from -1 to 1; 53.13 deg to 0.5; the third is shifted by a quarter."""
    wide = Camera(100, 100, 50.0, 50.0, 50.0, 50.0)
    narrow = Camera(640, 640, 640.0, 640.0, 320.0, 320.0)
    assert wide.fov_deg == pytest.approx((90, 90))
    assert narrow.fov_deg == pytest.approx((53.13, 53.13), abs=0.01)
    assert wide.view_shared_with(narrow) == pytest.approx(0.25)
    assert narrow.view_shared_with(wide) == pytest.approx(1)
    shifted = Camera(640, 640, 640.0, 640.0, 160.0, 320.0)  # from -0.25 to 0.75
    assert narrow.view_shared_with(shifted) == pytest.approx(0.75)
    aside = Camera(100, 100, 50.0, 50.0, -60.0, 50.0)  # from 1.2 on
    assert wide.view_shared_with(aside) == 0
