# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
import wall

from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.field import render_images


def photograph(field, pose, camera) -> Query:
    """The query that a camera at ``pose`` (1,) takes."""
    rgb = render_images(field, pose, camera).rgb[0]
    image = (rgb.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    seen = np.ones(image.shape[:2], bool)
    return Query(image, seen, camera, torch.device('cpu'))


@pytest.fixture(scope='package')
def scene():
    """A wall, the pose of a camera in front of it, and what that camera sees."""
    field = wall.Wall()
    return field, wall.VIEW, photograph(field, wall.VIEW, wall.CAMERA)
