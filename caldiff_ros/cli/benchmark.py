# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compare speed and memory of presets and baselines on the same queries.

Every method runs in a process of its own, and the methods take turns, query by query. Writes
OUTPUT/benchmark.json, and a table and a plot of it. The machine should be idle otherwise.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from caldiff_ros.cli.common import DataPath, Device, MapPath
from caldiff_ros.console import plain_console
from caldiff_ros.devices import pick_device
from caldiff_ros.evaluation import QueryResult, choose_queries
from caldiff_ros.evaluation.benchmark import (
    benchmark_markdown,
    benchmark_table,
    compare,
    growth,
    made_with,
    render_times,
    save_growth,
)
from caldiff_ros.evaluation.files import write_json, write_text
from caldiff_ros.evaluation.methods import named_method
from caldiff_ros.evaluation.workers import Task
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.scenes import open_scene

_WIDE = 140
_GROWTH_QUERIES = 3


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of ``caldiff benchmark``."""

    map: MapPath
    """Folder of the map, written by caldiff build-map."""

    data: DataPath
    """Dataset that the map was built from; some methods need its training images."""

    split: str | None = None
    """Split that the map was built from, such as 50-25; its test images are the queries."""

    variant: int = 0
    """Variant of the split."""

    queries: int | None = 10
    """Number of test images, evenly spaced; None for all."""

    methods: tuple[str, ...] = (
        'paper', 'fast', 'hloc', 'hloc-sift', 'posenet-inerf', 'monte-carlo-inerf', 'retrieval'
    )  # fmt: skip
    """Methods, such as fast, fast:particles=50, hloc, hloc-sift; see caldiff reproduce."""

    device: Device = 'auto'
    """Device for the computation; auto uses the GPU if there is one."""

    seed: int = 0
    """Random seed of the methods."""

    output: Path = Path('outputs/benchmark')
    """Folder for the results and the data of the baselines."""


def run(arguments: Arguments) -> int:
    """Measure and report."""
    for method in arguments.methods:
        named_method(method)

    device = str(pick_device(arguments.device))
    train, test = open_scene(arguments.data).split(arguments.split, arguments.variant)
    frames = choose_queries(test, arguments.queries)
    localization_map = LocalizationMap.load(arguments.map, device)
    tasks = [
        Task(
            arguments.map,
            train,
            method,
            work=arguments.output / 'work' / method.partition(':')[0],
            seed=arguments.seed,
            device=device,
        )
        for method in arguments.methods
    ]

    log = plain_console(stderr=True)

    def show(method: str, query: QueryResult) -> None:
        log.print(f'{query.name} {method}: {query.seconds:.2f} s', highlight=False)

    content = {
        'methods': compare(tasks, frames, show),
        'growth': growth(
            localization_map, frames[:_GROWTH_QUERIES], 'fast', seed=arguments.seed, device=device
        ),
        'renders': render_times(localization_map, device),
        'made_with': made_with(localization_map, arguments.seed, device),
    }
    write_json(arguments.output / 'benchmark.json', content)
    write_text(arguments.output / 'benchmark.md', benchmark_markdown(content))
    save_growth(arguments.output / 'benchmark.png', content)
    console = plain_console() if sys.stdout.isatty() else plain_console(width=_WIDE)
    console.print(benchmark_table(content))
    print(f'written to {arguments.output}')

    return 0
