# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Global camera relocalization in a radiance field, with no prior (CaLDiff).

What can be imported from here is the public interface: docs/api.md describes it, and says how it
may change. Everything else is private, whatever its name.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

# GNU OpenMP, which PyTorch uses, lets its threads spin for milliseconds after every operation, on
# the cores that our compiled kernels want next. It reads this when it is loaded; a tenth of a
# millisecond bridges operations that follow each other.
if 'OMP_WAIT_POLICY' not in os.environ:
    os.environ.setdefault('GOMP_SPINCOUNT', '10000')

if TYPE_CHECKING:
    from caldiff_ros.errors import CaldiffError
    from caldiff_ros.geometry.camera import Camera
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
    from caldiff_ros.localization.overlay import draw_overlay
    from caldiff_ros.localization.presets import LocalizerConfig, configuration
    from caldiff_ros.localization.prior import Prior
    from caldiff_ros.mapping.build import BuildConfig, build_map
    from caldiff_ros.mapping.context import BuildContext
    from caldiff_ros.mapping.training_data import TrainingData
    from caldiff_ros.scenes.opening import open_scene
    from caldiff_ros.scenes.pixels import read_image
    from caldiff_ros.scenes.scene import Scene

__version__ = '0.1.0'

__all__ = [
    'Answer',
    'BuildConfig',
    'BuildContext',
    'CaldiffError',
    'Camera',
    'CancelToken',
    'Cancelled',
    'Hypothesis',
    'LocalizationMap',
    'Localizer',
    'LocalizerConfig',
    'Particles',
    'Prior',
    'Scene',
    'Status',
    'TrainingData',
    '__version__',
    'build_map',
    'configuration',
    'draw_overlay',
    'open_scene',
    'read_image',
]

#: Where each is loaded from at its first use: PyTorch takes seconds to load, and who only asks for
#: the version does not wait for it.
_MODULES = {
    'Answer': 'caldiff_ros.localization.answer',
    'BuildConfig': 'caldiff_ros.mapping.build',
    'BuildContext': 'caldiff_ros.mapping.context',
    'CaldiffError': 'caldiff_ros.errors',
    'Camera': 'caldiff_ros.geometry.camera',
    'CancelToken': 'caldiff_ros.localization.answer',
    'Cancelled': 'caldiff_ros.localization.answer',
    'Hypothesis': 'caldiff_ros.localization.answer',
    'LocalizationMap': 'caldiff_ros.localization.map',
    'Localizer': 'caldiff_ros.localization.localizer',
    'LocalizerConfig': 'caldiff_ros.localization.presets',
    'Particles': 'caldiff_ros.localization.answer',
    'Prior': 'caldiff_ros.localization.prior',
    'Scene': 'caldiff_ros.scenes.scene',
    'Status': 'caldiff_ros.localization.answer',
    'TrainingData': 'caldiff_ros.mapping.training_data',
    'build_map': 'caldiff_ros.mapping.build',
    'configuration': 'caldiff_ros.localization.presets',
    'draw_overlay': 'caldiff_ros.localization.overlay',
    'open_scene': 'caldiff_ros.scenes.opening',
    'read_image': 'caldiff_ros.scenes.pixels',
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
