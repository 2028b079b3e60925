# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caldiff_ros.localization import LocalizationMap
from caldiff_ros.mapping.views import Views

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='package')
def localization_map():
    """The shipped map with a camera of 80 x 60 pixels."""
    shipped = LocalizationMap.load(ROOT / 'maps/diorama_room')
    return replace(shipped, camera=shipped.camera.downscaled(2))


@pytest.fixture(scope='package')
def views(localization_map):
    """What its field shows at ten of its training cameras."""
    cameras = localization_map.training_cameras[::6]
    out = localization_map.field.render(cameras, localization_map.camera)
    rgb = (out.rgb.clamp(0, 1) * 255).round() / 255
    return Views(
        localization_map.camera, cameras, rgb, None, torch.ones_like(out.opacity) > 0, None
    )
