# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train the radiance field of a map, the first half of build-map.

The field is kept in the folder OUTPUT-training; caldiff train-diffusion with the same arguments
continues from it and writes the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caldiff_ros.cli import presets
from caldiff_ros.cli.building import BuildArguments
from caldiff_ros.cli.progress import TrainingProgress
from caldiff_ros.console import plain_console
from caldiff_ros.mapping.build import build_map_field
from caldiff_ros.mapping.field_training import psnr
from caldiff_ros.wording import counted


@dataclass(frozen=True, kw_only=True)
class Arguments(BuildArguments):
    """Arguments of ``caldiff train-nerf``."""


def defaults(argv: Sequence[str]) -> Arguments:
    """See `presets.defaults`."""
    return presets.defaults(Arguments, argv)


def run(arguments: Arguments) -> int:
    """Train the field and print its PSNR."""
    data, config = arguments.load()
    with TrainingProgress(plain_console(stderr=True)) as report:
        built = build_map_field(data, config, arguments.context(report))

    kind, views = ('held-out', data.held_out) if data.held_out else ('training', data.views)
    quality = f'PSNR {psnr(built.field, views):.2f} dB on {counted(len(views), f"{kind} image")}'
    plain_console().print(f'{quality}; the field is in {arguments.work}', soft_wrap=True)

    return 0
