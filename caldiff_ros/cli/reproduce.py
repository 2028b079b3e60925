# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Print the paper's tables again, ours beside the paper's.

Builds a map for every scene, split and variant, runs every method on the same images, and writes
OUTPUT/TABLE.json with the Markdown and the picture made from it; OUTPUT/cells has every query.
What an earlier run with the same --output has done is kept: stopped, the same command goes on.

The scenes are folders of --data under the paper's names: cars, chair, lego; chess, fire, heads,
office, pumpkin, redkitchen, stairs; room1 to room6, stairs1. Other scenes have rows as well,
without figures of the paper. The whole protocol takes days on a CPU; --scenes, --variants,
--queries and --methods make a part of it, and the table says which.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from caldiff_ros.cli.common import Device
from caldiff_ros.cli.progress import TrainingProgress
from caldiff_ros.evaluation import Query
from caldiff_ros.evaluation.cells import Setting
from caldiff_ros.evaluation.experiment import Budget, Experiment, ExperimentConfig
from caldiff_ros.evaluation.reproduction import Plan, fill, write_table
from caldiff_ros.evaluation.tables import rich_table, tabulate

_WIDE = 150


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of ``caldiff reproduce``."""

    what: Annotated[
        Positional[Literal['table1', 'table2', 'table3', 'table4']], arg(metavar='WHAT')
    ]
    """table1 (synthetic scenes), table2 (real scenes), table3 and table4 (their ablations)."""

    data: Path = Path('data')
    """Folder that holds the folders of the scenes."""

    scenes: tuple[str, ...] = ()
    """Scenes; default, those of the table that are in --data."""

    splits: tuple[str, ...] = ()
    """Splits such as 50-25; default, those of the table."""

    variants: int | None = None
    """Variants of every split, from the first; default, as in the paper."""

    queries: int | None = None
    """Test images per map, evenly spread; default, all."""

    methods: tuple[str, ...] = ()
    """Rows, such as paper, fast, hloc; default, all of the table."""

    budget: float | None = None
    """Stop after so many hours; the same command goes on from there."""

    device: Device = 'auto'
    """Where to compute; auto takes the GPU if there is one."""

    seed: int = 0
    """Seed of maps and methods."""

    output: Path = Path('outputs/reproduce')
    """Folder for maps, results and tables; the tables share what they have in common."""


def run(arguments: Arguments) -> int:
    """Fill the table and print it."""
    plan = Plan.make(
        arguments.what,
        arguments.data,
        arguments.scenes,
        arguments.splits,
        arguments.variants,
        arguments.methods,
    )
    config = ExperimentConfig(
        arguments.data,
        arguments.output,
        plan.paper.image_width,
        arguments.queries,
        arguments.seed,
        arguments.device,
    )
    log = Console(stderr=True)

    def show(setting: Setting, method: str, number: int, total: int, query: Query) -> None:
        log.print(
            f'{setting.name} {method} {number}/{total}: {query.translation_norm:.4f}, '
            f'{query.rotation_deg:.2f}°, {query.status}, {query.seconds:.1f} s',
            highlight=False,
        )

    with TrainingProgress(log) as report:
        experiment = Experiment(config, Budget(arguments.budget), report, show)
        cells, complete = fill(plan, experiment)
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    if cells:
        content = tabulate(plan.paper, cells, plan.asked(arguments.queries))
        write_table(arguments.output, arguments.what, content)
        console.print(rich_table(content))
        console.print(f'written to {arguments.output / arguments.what}.json', soft_wrap=True)
    if not complete:
        n_cells = len(plan.settings) * len(plan.methods)
        console.print(
            f'{len(cells)} of {n_cells} cells are done, the time is over; the same command goes on'
        )
    return 0
