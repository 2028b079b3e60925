# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The defaults of build-map, train-nerf and train-diffusion, which depend on preset and field."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from tyro import MISSING

from caldiff_ros.cli.building import BuildArguments
from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.build import BUILD_PRESETS
from caldiff_ros.nerf.kinds import FIELD_KINDS, NATIVE_KIND

Arguments = TypeVar('Arguments', bound=BuildArguments)


def defaults(kind: type[Arguments], argv: Sequence[str]) -> Arguments:
    """Arguments whose configuration is that of the preset and field named in ``argv``.

    They have to be known before the rest is parsed, as every number in them is a flag with its own
    default.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--preset', default='fast')
    parser.add_argument('--field', default=NATIVE_KIND)
    named, _ = parser.parse_known_args(argv)

    if named.preset not in BUILD_PRESETS:
        raise CaldiffError(
            f'preset {named.preset!r} is not known, expected one of {", ".join(BUILD_PRESETS)}; '
            'give one'
        )

    if named.field not in FIELD_KINDS:
        raise CaldiffError(
            f'field {named.field!r} is not known, expected one of {", ".join(FIELD_KINDS)}; give '
            'one'
        )

    training = FIELD_KINDS[named.field].presets()[named.preset]
    config = replace(BUILD_PRESETS[named.preset], field=training)
    return kind(output=MISSING, config=config)
