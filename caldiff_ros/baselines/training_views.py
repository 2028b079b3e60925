# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training views as the baselines use them."""

from __future__ import annotations

from torch import Tensor

from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.field import BACKGROUND_COLORS


def network_images(localization_map: LocalizationMap, views: Views) -> Tensor:
    """Views on the map's background, as its network sees queries: (V, 3, h, w) in 0..1."""
    return localization_map.diffusion.network_input(
        views.on_background(BACKGROUND_COLORS[localization_map.background])
    )
