# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that can be judged on a map, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import yaml

from caldiff_ros.baselines.bounds import (
    make_floor,
    make_nearest_training_view,
    make_oracle_selection,
)
from caldiff_ros.baselines.hloc import make_hloc
from caldiff_ros.baselines.monte_carlo import make_monte_carlo
from caldiff_ros.baselines.posenet import make_posenet
from caldiff_ros.baselines.retrieval import make_retrieval
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.alterations import ALTERATIONS
from caldiff_ros.evaluation.protocol import KnowsTheTruth, LocalizesImages
from caldiff_ros.localization import PRESETS, Localizer
from caldiff_ros.localization.presets import LocalizerConfig

#: Makes a method ready for a map; may take minutes, and resumes.
Factory = Callable[[Setup], LocalizesImages | KnowsTheTruth]


@dataclass(frozen=True)
class Method:
    """One row of a table.

    Attributes:
        title: what it is called there.
        make: see `Factory`.
        full_size: whether it sees photographs at full size where the `Setup` has them.
    """

    title: str
    make: Factory
    full_size: bool = False


def _caldiff(config: LocalizerConfig, setup: Setup) -> Localizer:
    return Localizer(setup.localization_map, config, setup.device, setup.seed)


_PAPER = PRESETS['paper']

METHODS: dict[str, Method] = {
    'paper': Method('CaLDiff, preset paper', partial(_caldiff, _PAPER)),
    'fast': Method('CaLDiff, preset fast', partial(_caldiff, PRESETS['fast'])),
    'accurate': Method('CaLDiff, preset accurate', partial(_caldiff, PRESETS['accurate'])),
    # the diffusion block of figure 2, with its iNeRF steps, and the best of 5 by photometric error
    'diffusion-only': Method(
        'pose diffusion only', partial(_caldiff, replace(_PAPER, refinement=None))
    ),
    'without-integrated-inerf': Method(
        'without integrated iNeRF', partial(_caldiff, replace(_PAPER, integrated_inerf=None))
    ),
    'hloc': Method('Hloc (DISK + LightGlue)', make_hloc, full_size=True),
    'hloc-sift': Method('Hloc (SIFT)', partial(make_hloc, features='sift'), full_size=True),
    'posenet-inerf': Method('PoseNet + iNeRF', make_posenet),
    'monte-carlo-inerf': Method('Monte Carlo + iNeRF', make_monte_carlo),
    'retrieval': Method('nearest rendered view + refinement', make_retrieval),
    'nearest-training-view': Method('bound: nearest training image', make_nearest_training_view),
    'oracle-selection': Method('bound: best particles by truth', make_oracle_selection),
    'floor': Method('bound: refinement from the truth', make_floor),
}


def named_method(name: str) -> Method:
    """The method that a name stands for.

    A preset may be followed by changes of its configuration, as in 'fast:particles=25' or
    'fast:matching=null,selection.count=1'; any method by an alteration of the images, as in
    'hloc@roll-90', see `ALTERATIONS`.

    Raises:
        CaldiffError: if there is no such method, part of a preset or alteration.
    """
    method, _, alteration = name.partition('@')
    base, _, changes = method.partition(':')

    if base not in METHODS:
        raise CaldiffError(
            f'method {base!r} is not known, expected one of {", ".join(METHODS)}; give one'
        )

    found = _changed(base, changes) if changes else METHODS[base]
    if alteration and alteration not in ALTERATIONS:
        raise CaldiffError(
            f'alteration {alteration!r} is not known, expected one of {", ".join(ALTERATIONS)}; '
            'give one'
        )

    return replace(found, title=f'{found.title}, {alteration}') if alteration else found


def _changed(preset: str, changes: str) -> Method:
    """A preset with other numbers, 'NAME=VALUE,...'."""
    try:
        config = PRESETS[preset]
        for change in changes.split(','):
            name, value = change.split('=')
            config = _with(config, name.split('.'), yaml.safe_load(value))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise CaldiffError(
            f"method '{preset}:{changes}' is not known, expected a preset and values of its "
            "configuration, such as 'fast:particles=25'; correct it"
        ) from error

    return Method(f'{METHODS[preset].title}, {changes}', partial(_caldiff, config))


def _with(config: Any, names: list[str], value: Any) -> Any:
    """A configuration in which the part called ``names`` has another value of the same type.

    A part of several, such as the levels of the refinement, is called by its place among them.
    """
    name, *deeper = names
    several = isinstance(config, tuple)
    before = config[int(name)] if several else getattr(config, name)

    if deeper:
        value = _with(before, deeper, value)
    elif value is not None and type(before)(value) != value:
        raise ValueError(value)

    if several:
        parts = list(config)
        parts[int(name)] = value
        return tuple(parts)

    return replace(config, **{name: value})
