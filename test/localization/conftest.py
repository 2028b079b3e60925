# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import wall


@pytest.fixture(scope='package')
def scene():
    """A wall, the pose of a camera in front of it, and what that camera sees."""
    field = wall.Wall()
    return field, wall.VIEW, wall.photograph(field, wall.VIEW, wall.CAMERA)
