# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The method: Algorithm 1, its stages, and the map it works in."""

from caldiff_ros.localization.answer import (
    Answer,
    Cancelled,
    CancelToken,
    Hypothesis,
    Particles,
    Status,
)
from caldiff_ros.localization.localizer import Localizer
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.localization.presets import PRESETS
from caldiff_ros.localization.prior import Prior

__all__ = [
    'PRESETS',
    'Answer',
    'CancelToken',
    'Cancelled',
    'Hypothesis',
    'LocalizationMap',
    'Localizer',
    'Particles',
    'Prior',
    'Status',
]
