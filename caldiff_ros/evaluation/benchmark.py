# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Speed side by side: the same queries, the methods in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from caldiff_ros.evaluation.environment import commit, hardware, versions
from caldiff_ros.evaluation.methods import named_method
from caldiff_ros.evaluation.protocol import QueryResult
from caldiff_ros.evaluation.report import mean_stages, success_rates
from caldiff_ros.evaluation.workers import Task, Worker
from caldiff_ros.localization import LocalizationMap, Localizer
from caldiff_ros.localization.presets import PRESETS
from caldiff_ros.scenes import Frame, read_frame
from caldiff_ros.wording import counted

#: What times are compared to.
REFERENCES = ('paper', 'hloc')
#: Numbers of particles, factors of the map's resolution, and cameras that the time is measured for.
PARTICLES, RESOLUTIONS, CAMERAS = (25, 50, 100, 200, 400), (0.5, 1.0, 2.0), (1, 2, 4, 8)
#: Longer sides of the images whose rendering alone is measured, and from how many cameras.
SIDES, RENDERED = (160, 480, 960), 15
_HEADER = (
    'method', 'median s', 'p90', 'p99', 'x paper', 'x hloc', 's per stage', 'rays', 'ready s', 'MB',
    'success (%)',
)  # fmt: skip

OnQuery = Callable[[str, QueryResult], None]


def compare(
    tasks: Sequence[Task], frames: Sequence[Frame], on_query: OnQuery = lambda *_: None
) -> list[dict[str, Any]]:
    """Run methods in turn on every query, each in its own process.

    Every method localizes the first image once before, unmeasured. Times of two methods are
    compared query by query; the ratio is the median of those.

    Returns:
        One row per method, see the keys.
    """
    queries: dict[str, list[QueryResult]] = {task.method: [] for task in tasks}
    memory_mb: dict[str, float] = {}

    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(task)) for task in tasks]
        for worker in workers:
            worker.localize(frames[0])

        for frame in frames:
            for worker in workers:
                query, memory_mb[worker.method] = worker.localize(frame)
                queries[worker.method].append(query)
                on_query(worker.method, query)

        ready = {worker.method: worker.preparation_seconds for worker in workers}

    seconds = {m: np.array([q.seconds for q in of]) for m, of in queries.items()}
    return [
        {
            'method': method,
            'n_queries': len(of),
            'median_seconds': float(np.median(seconds[method])),
            'p90_seconds': float(np.percentile(seconds[method], 90)),
            'p99_seconds': float(np.percentile(seconds[method], 99)),
            'times_faster_than': {
                reference: float(np.median(seconds[reference] / seconds[method]))
                for reference in REFERENCES
                if reference in seconds
            },
            'mean_stage_seconds': mean_stages(of),
            'median_rays': float(np.median([q.rays for q in of])),
            'preparation_seconds': ready[method],
            'peak_memory_mb': memory_mb[method],
            'success_rate': success_rates(of),
        }
        for method, of in queries.items()
    ]


def growth(
    localization_map: LocalizationMap, frames: Sequence[Frame], preset: str, seed: int, device: str
) -> dict[str, list[dict[str, float]]]:
    """Median seconds per image with more particles, larger images; total with more cameras."""
    config = PRESETS[preset]
    camera = localization_map.camera
    views = [read_frame(frame, localization_map.background) for frame in frames]

    def median(config: Any, changed: LocalizationMap) -> float:
        localizer = Localizer(changed, config, device, seed)
        return float(np.median([_timed(localizer, *view) for view in views]))

    localizer = Localizer(localization_map, config, device, seed)
    return {
        'particles': [
            {'value': n, 'seconds': median(replace(config, particles=n), localization_map)}
            for n in PARTICLES
        ],
        'pixels of the longer side': [
            {
                'value': round(factor * max(camera.width, camera.height)),
                'seconds': median(
                    config, replace(localization_map, camera=camera.downscaled(1 / factor))
                ),
            }
            for factor in RESOLUTIONS
        ],
        'cameras': [
            {
                'value': n,
                'seconds': sum(_timed(localizer, *views[i % len(views)]) for i in range(n)),
            }
            for n in CAMERAS
        ],
    }


def render_times(localization_map: LocalizationMap, device: str) -> list[dict[str, float]]:
    """Milliseconds of one image alone, the median over the training cameras, at `SIDES`."""
    field = localization_map.to(device).field
    poses = localization_map.training_cameras[:RENDERED].to(device)
    times = []

    for side in SIDES:
        camera = localization_map.camera
        camera = camera.downscaled(max(camera.width, camera.height) / side)
        field.render(poses[:1], camera)
        seconds = []
        for i in range(len(poses)):
            start = time.perf_counter()
            float(field.render(poses[i : i + 1], camera).rgb.sum())  # waits for a GPU
            seconds.append(time.perf_counter() - start)

        milliseconds = 1e3 * float(np.median(seconds))
        times.append({'width': camera.width, 'height': camera.height, 'ms': milliseconds})

    return times


def made_with(localization_map: LocalizationMap, seed: int, device: str) -> dict[str, Any]:
    """Machine, versions, commit, seed, and what the map cost."""
    return {
        'map': localization_map.name,
        'map_training_images': localization_map.provenance.get('training_images'),
        'map_build_stage_seconds': localization_map.provenance.get('build_stage_seconds'),
        'renderer': localization_map.field.renderer,
        'seed': seed,
        'commit': commit(),
        'hardware': hardware(device),
        'versions': versions(),
    }


def benchmark_table(content: dict[str, Any]) -> Table:
    """For a terminal."""
    table = Table(*_HEADER, title=note(content), title_justify='left')
    for column in table.columns[1:]:
        column.justify = 'right'

    for row in content['methods']:
        table.add_row(*_texts(row))

    return table


def benchmark_markdown(content: dict[str, Any]) -> str:
    """For a document."""
    lines = [_HEADER, ['---'] * len(_HEADER), *map(_texts, content['methods'])]
    return '\n'.join([*(f'| {" | ".join(line)} |' for line in lines), '', note(content), ''])


def note(content: dict[str, Any]) -> str:
    """What was measured, in sentences."""
    made = content['made_with']
    machine = made['hardware']
    stages = made['map_build_stage_seconds']
    queries = counted(content['methods'][0]['n_queries'], 'query', 'queries')
    built = 'a time not recorded' if stages is None else f'{sum(stages.values()):.0f} s'
    if stages:
        built += f' ({", ".join(f"{stage} {spent:.0f}" for stage, spent in stages.items())})'

    return (
        f'{made["map"]}, {queries}, methods in turn, '
        f'{machine.get("gpu", machine["cpu"])}, {counted(machine["torch_threads"], "thread")}. '
        f'Map of {made["map_training_images"]} images built in {built}; "ready s" is what a '
        'method needs on top of it, "x paper" how many times faster than preset paper, '
        '"s per stage" means. An image alone, rendered by '
        f'{made["renderer"]}: {_render_texts(content["renders"])}.'
    )


def _render_texts(renders: Sequence[dict[str, float]]) -> str:
    return ', '.join(f'{r["width"]}x{r["height"]} {r["ms"]:.1f} ms' for r in renders)


def save_growth(path: Path, content: dict[str, Any]) -> None:
    """Plot the medians of all methods, and how the time grows."""
    grown = content['growth']
    figure = Figure(figsize=(4 * (len(grown) + 1), 3.6), dpi=110, layout='constrained')
    bars, *rest = figure.subplots(1, len(grown) + 1)
    rows = content['methods'][::-1]
    bars.barh([row['method'] for row in rows], [row['median_seconds'] for row in rows])
    bars.set(xscale='log', xlabel='median seconds per query')

    for axes, (name, points) in zip(rest, grown.items(), strict=True):
        axes.plot([p['value'] for p in points], [p['seconds'] for p in points], 'o-')
        axes.set(xlabel=name, ylabel='seconds', ylim=(0, None))

    figure.savefig(path)


def _timed(localizer: Localizer, image: np.ndarray, camera: Any) -> float:
    start = time.perf_counter()
    localizer.localize(image, camera)
    return time.perf_counter() - start


def _texts(row: dict[str, Any]) -> list[str]:
    times = [row['times_faster_than'].get(reference) for reference in REFERENCES]
    return [
        named_method(row['method']).title,
        f'{row["median_seconds"]:.2f}',
        f'{row["p90_seconds"]:.2f}',
        f'{row["p99_seconds"]:.2f}',
        *['' if factor is None else f'{factor:.2f}' for factor in times],
        ', '.join(f'{stage} {mean:.2f}' for stage, mean in row['mean_stage_seconds'].items()),
        f'{row["median_rays"] / 1000:.0f} k',
        f'{row["preparation_seconds"]:.0f}',
        f'{row["peak_memory_mb"]:.0f}',
        ', '.join(f'{rate:.0f}' for rate in row['success_rate']),
    ]
