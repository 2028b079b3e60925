# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reproduce the tables and figures of the paper, with the published values beside ours.

Builds a map for every scene, split and variant, runs every method on the same images, and writes
OUTPUT/TABLE.json, from which a Markdown table and a plot are made; OUTPUT/cells has every query.
The work of earlier runs with the same --output is kept: to resume, start the same command again.

The scenes are folders of --data, with the names of the paper: cars, chair, lego; chess, fire,
heads, office, pumpkin, redkitchen, stairs; room1 to room6, stairs1. Other scenes get rows without
published values. The whole protocol takes days on a CPU; --scenes, --splits, --variants, --queries
and --methods select a part of it, and the table names the selection.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from caldiff_ros.cli.common import Device
from caldiff_ros.cli.progress import TrainingProgress
from caldiff_ros.console import plain_console
from caldiff_ros.evaluation import QueryResult
from caldiff_ros.evaluation.experiment import Budget, Experiment, OutOfTime
from caldiff_ros.evaluation.figures import make_figure
from caldiff_ros.evaluation.method_results import MapSpec
from caldiff_ros.evaluation.prepared_maps import ExperimentConfig
from caldiff_ros.evaluation.printing import rich_table
from caldiff_ros.evaluation.reproduction import Plan, fill, sheet, write_sheet

_WIDE = 150

What = Literal[
    'table1', 'table2', 'table3', 'table4', 'figure3', 'figure4', 'figure5', 'hard-cases',
    'ablation', 'real',
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of ``caldiff reproduce``."""

    what: Annotated[Positional[What], arg(metavar='WHAT')]
    """table1 (synthetic scenes), table2 (real scenes), table3 and table4 (their ablations); figure3
    (renders at the estimates), figure4 (particles of the diffusion) or figure5 (errors and time
    against particles, steps and training images). Not in the paper: hard-cases (the test images
    rotated, zoomed, blurred, occluded, or with another exposure), ablation (preset fast without
    each of its parts) and real (captures, with maps at the resolution that build-map chooses, Hloc
    on the photographs at full size, and how far the answers can be trusted).
    """

    data: Path = Path('data')
    """Folder with the folders of the scenes."""

    scenes: tuple[str, ...] = ()
    """Scenes. Default: those of the table that are in --data; for real, all datasets of
    photographs. chair+plain is chair with its texture removed, and office+twice a scene that
    contains office twice."""

    splits: tuple[str, ...] = ()
    """Splits such as 50-25. Default: those of the table; for real those of splits.json, or one with
    four fifths for training."""

    variants: int | None = None
    """Number of variants of every split, from the first. Default: as in the paper; figures and real
    use one."""

    queries: int | None = None
    """Number of test images per map, evenly spaced. Default: all."""

    methods: tuple[str, ...] = ()
    """Rows, such as paper, fast, hloc. Default: all of the table. fast:particles=25 changes a
    number of a preset. For a figure, the preset to show."""

    budget: float | None = None
    """Stop after this many hours; the same command resumes."""

    device: Device = 'auto'
    """Device for the computation; auto uses the GPU if there is one."""

    seed: int = 0
    """Random seed of maps and methods."""

    output: Path = Path('outputs/reproduce')
    """Folder for maps, results and tables. The tables share maps and queries; those of real are in
    a folder of their own."""


def run(arguments: Arguments) -> int:
    """Fill the table and print it, or draw the figure."""
    figure = arguments.what.startswith('figure')
    plan = Plan.make(
        arguments.what,
        arguments.data,
        arguments.scenes,
        arguments.splits,
        1 if figure else arguments.variants,
        arguments.methods,
    )

    config = ExperimentConfig(
        arguments.data,
        # maps of their own size must not be mixed up with those of the paper's
        arguments.output / 'real' if arguments.what == 'real' else arguments.output,
        plan.paper.image_width,
        queries=arguments.queries,
        seed=arguments.seed,
        device=arguments.device,
    )
    log = plain_console(stderr=True)

    def show(map_spec: MapSpec, method: str, number: int, total: int, query: QueryResult) -> None:
        log.print(
            f'{map_spec.name} {method} {number}/{total}: {query.translation_norm:.4f}, '
            f'{query.rotation_deg:.2f}°, {query.status}, {query.seconds:.1f} s',
            highlight=False,
        )

    with TrainingProgress(log) as report:
        experiment = Experiment(config, Budget(arguments.budget), report, show)
        done = _draw(plan, experiment) if figure else _tabulate(plan, experiment, arguments.output)

    if not done:
        print('the time budget is used up before everything is done; the same command resumes')

    return 0


def _tabulate(plan: Plan, experiment: Experiment, output: Path) -> bool:
    """Write and print a table; whether it is complete."""
    cells, complete = fill(plan, experiment)
    if cells:
        made = sheet(plan, cells, experiment.config.queries)
        write_sheet(output, plan.what, made)
        console = plain_console() if sys.stdout.isatty() else plain_console(width=_WIDE)
        for table in made.tables:
            console.print(rich_table(table, made.note if table is made.tables[-1] else ''))
        n_cells = len(plan.settings) * len(plan.methods)
        print(f'{len(cells)} of {n_cells} cells, written to {output / plan.what}.json')

    return complete


def _draw(plan: Plan, experiment: Experiment) -> bool:
    """Write a figure; whether there was time for it."""
    try:
        files = make_figure(
            plan.what,
            experiment,
            plan.settings,
            preset=plan.methods[0],
            folder=experiment.config.output,
        )
    except OutOfTime:
        return False

    print('written to', *files)
    return True
