# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Altered shots against photographs by the cameras that they claim to be of."""

import numpy as np
import pytest
import wall

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.alterations import ALTERATIONS, Shot, alter
from caldiff_ros.geometry import Camera, Pose

#: Not symmetric in anything.
CAMERA = Camera(100, 80, 110.0, 105.0, 46.0, 43.0)
GEOMETRIC = ('roll-90', 'roll-180', 'roll-any', 'zoom-1.5')


@pytest.fixture(scope='module')
def shot():
    image = wall.photograph(wall.Wall(), wall.VIEW, CAMERA).image
    return Shot(image, CAMERA, wall.VIEW.matrix()[0].double().numpy())


@pytest.mark.parametrize('name', GEOMETRIC)
def test_what_is_turned_or_zoomed_is_what_that_camera_sees(shot, name):
    altered = alter(name, 'frame', shot)
    assert altered.image.shape[:2] == (altered.camera.height, altered.camera.width)
    pose = Pose.from_matrix(altered.T_map_cam[None].astype(np.float32))
    really = wall.photograph(wall.Wall(), pose, altered.camera).image
    assert np.abs(altered.image.astype(float) - really).mean() < 6
    np.testing.assert_allclose(altered.T_map_cam[:3, 3], shot.T_map_cam[:3, 3])


@pytest.mark.parametrize('name', sorted(set(ALTERATIONS) - set(GEOMETRIC)))
def test_what_is_lit_or_hidden_stays_where_it_is(shot, name):
    altered = alter(name, 'frame', shot)
    assert altered.camera == shot.camera
    np.testing.assert_array_equal(altered.T_map_cam, shot.T_map_cam)
    assert altered.image.dtype == np.uint8 and altered.image.shape == shot.image.shape
    assert (altered.image != shot.image).mean() > 0.1


def test_a_quarter_is_occluded(shot):
    hidden = (alter('occluded', 'frame', shot).image != shot.image).any(-1)
    rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
    area = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    assert area / hidden.size == pytest.approx(0.25, abs=0.02)


def test_brightness_is_multiplied(shot):
    darker = alter('darker', 'frame', shot).image
    np.testing.assert_allclose(darker, 0.6 * shot.image, atol=0.51)


def test_the_frame_decides_what_is_random(shot):
    first, again, other = (alter('roll-any', name, shot).image for name in ('a', 'a', 'b'))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_unknown_alteration_is_explained(shot):
    with pytest.raises(CaldiffError, match="'inverted' is not known"):
        alter('inverted', 'frame', shot)
