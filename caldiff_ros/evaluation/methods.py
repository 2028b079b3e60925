# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that can be judged on a map, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.protocol import KnowsTheTruth, LocalizesImages
from caldiff_ros.localization import PRESETS, LocalizationMap, Localizer
from caldiff_ros.localization.presets import LocalizerConfig
from caldiff_ros.nerf.views import Views
from caldiff_ros.training import Report

#: Called with the map, its training views, a folder to keep things in or None, the seed, the device
#: and who is told of the progress.
Factory = Callable[
    [LocalizationMap, Views, Path | None, int, str, Report], LocalizesImages | KnowsTheTruth
]


@dataclass(frozen=True)
class Method:
    """One row of a table.

    Attributes:
        title: what it is called there.
        make: makes it ready for a map; may take minutes, and resumes.
    """

    title: str
    make: Factory


def _caldiff(
    config: LocalizerConfig,
    place: LocalizationMap,
    views: Views,
    work: Path | None,
    seed: int,
    device: str,
    report: Report,
) -> Localizer:
    return Localizer(place, config, device, seed)


_PAPER = PRESETS['paper']

METHODS: dict[str, Method] = {
    'paper': Method('CaLDiff, preset paper', partial(_caldiff, _PAPER)),
    'fast': Method('CaLDiff, preset fast', partial(_caldiff, PRESETS['fast'])),
    # the diffusion block of figure 2, with its iNeRF steps, and the best of 5 by photometric error
    'diffusion-only': Method(
        'pose diffusion only', partial(_caldiff, replace(_PAPER, refinement=None))
    ),
    'without-integrated-inerf': Method(
        'without integrated iNeRF', partial(_caldiff, replace(_PAPER, integrated_inerf=None))
    ),
}


def named_method(name: str) -> Method:
    """The method that a name stands for.

    Raises:
        CaldiffError: if there is no such method.
    """
    if name not in METHODS:
        raise CaldiffError(
            f'method {name!r} is not known, expected one of {", ".join(METHODS)}; give one'
        )
    return METHODS[name]
