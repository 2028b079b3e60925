# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train the pose diffusion model of a map, the second half of build-map.

Continues from the field that caldiff train-nerf with the same arguments left in OUTPUT-training,
and writes the map. The field stays there, so that other settings of the diffusion model can be
tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from caldiff_ros.cli import presets
from caldiff_ros.cli.building import BuildArguments
from caldiff_ros.cli.progress import TrainingProgress
from caldiff_ros.console import plain_console
from caldiff_ros.mapping.build import build_map, build_map_field


@dataclass(frozen=True, kw_only=True)
class Arguments(BuildArguments):
    """Arguments of ``caldiff train-diffusion``."""


def defaults(argv: Sequence[str]) -> Arguments:
    """See `presets.defaults`."""
    return presets.defaults(Arguments, argv)


def run(arguments: Arguments) -> int:
    """Train the diffusion model and write the map."""
    data, config = arguments.load()
    finished = replace(arguments.context(), finished_only=True)
    field = build_map_field(data, config, finished)

    with TrainingProgress(plain_console(stderr=True)) as report:
        built = build_map(data, config, arguments.context(report), field)

    arguments.save(built)
    console = plain_console(soft_wrap=True)
    console.print(f'map of {len(data.views)} images written to {arguments.output}')
    return 0
