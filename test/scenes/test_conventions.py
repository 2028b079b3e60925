# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Conventions of poses, by a camera whose axes are known."""

import numpy as np
import pytest

from caldiff_ros.scenes.conventions import CONVENTIONS, Convention

#: At (1, 2, 3), looks along the map's x axis with the map's z up: x right is -y, y down is -z.
T_MAP_CAM = np.array([[0, 0, 1, 1], [-1, 0, 0, 2], [0, -1, 0, 3], [0, 0, 0, 1.0]])
#: By convention, the columns of camera axes in the map, or the rows of map axes in the camera.
WRITTEN = {
    Convention(): T_MAP_CAM,
    Convention(opengl=True): [[0, 0, -1, 1], [-1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 0, 1.0]],
    Convention(world_to_camera=True): [[0, -1, 0, 2], [0, 0, -1, 3], [1, 0, 0, -1], [0, 0, 0, 1.0]],
    Convention(opengl=True, world_to_camera=True): [
        [0, -1, 0, 2],
        [0, 0, 1, -3],
        [-1, 0, 0, 1],
        [0, 0, 0, 1.0],
    ],
}


@pytest.mark.parametrize('convention', CONVENTIONS, ids=str)
def test_each_convention_reads_and_writes_the_same_camera(convention):
    written = np.array(WRITTEN[convention])
    np.testing.assert_allclose(convention.read(written), T_MAP_CAM, atol=1e-12)
    np.testing.assert_allclose(convention.write(T_MAP_CAM), written, atol=1e-12)
