# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The summary of an evaluation: numbers, files and a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.table import Table

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.certainty import Certainty
from caldiff_ros.evaluation.environment import hardware, versions
from caldiff_ros.evaluation.files import write_json
from caldiff_ros.evaluation.metrics import (
    METRIC_THRESHOLDS,
    THRESHOLDS,
    success_percent,
)
from caldiff_ros.evaluation.protocol import QueryResult
from caldiff_ros.wording import counted


def summarize(
    queries: Sequence[QueryResult],
    *,
    method: str,
    preset: str,
    seed: int,
    device: str = 'cpu',
    metres_per_unit: float | None = None,
) -> dict:
    """The content of ``summary.json``.

    A median is None where half of the queries or more have no answer; what is in metres or
    centimetres is None where the scale of the map is not known.

    Args:
        queries: at least one.
        method: name of the method, such as 'caldiff'.
        preset: the localizer's preset.
        seed: the localizer's seed.
        device: where it ran.
        metres_per_unit: scale of the map, if it is known.
    """
    if not queries:
        raise CaldiffError('there are no queries to summarize, expected at least one test image')

    norm = np.array([query.translation_norm for query in queries])
    metres = np.array([query.translation_map for query in queries]) * (metres_per_unit or 1)
    degrees = np.array([query.rotation_deg for query in queries])
    seconds = np.array([query.seconds for query in queries])
    metric = {
        key: success_percent(metres, degrees, threshold) if metres_per_unit else None
        for key, threshold in METRIC_THRESHOLDS.items()
    }

    return {
        'method': method,
        'preset': preset,
        'n_queries': len(queries),
        'thresholds': [list(threshold) for threshold in THRESHOLDS],
        'success_rate': success_rates(queries),
        **metric,
        'median_translation_norm': _finite(np.median(norm)),
        'median_translation_cm': _finite(100 * np.median(metres)) if metres_per_unit else None,
        'median_rotation_deg': _finite(np.median(degrees)),
        'median_seconds': float(np.median(seconds)),
        'p90_seconds': float(np.percentile(seconds, 90)),
        'mean_nees': Certainty.of(queries).mean_nees,
        'status_counts': dict(Counter(query.status for query in queries)),
        'seed': seed,
        'hardware': hardware(device),
        'versions': versions(),
    }


def success_rates(queries: Sequence[QueryResult]) -> list[float]:
    """Percent of the queries within each of `THRESHOLDS`."""
    norm = np.array([query.translation_norm for query in queries])
    degrees = np.array([query.rotation_deg for query in queries])
    return [success_percent(norm, degrees, threshold) for threshold in THRESHOLDS]


def mean_stages(queries: Sequence[QueryResult]) -> dict[str, float]:
    """Where the time goes; a stage that an image did not need counts as 0 there."""
    stages = dict.fromkeys(stage for query in queries for stage in query.timings)
    return {s: float(np.mean([query.timings.get(s, 0.0) for query in queries])) for s in stages}


def write_report(directory: Path, queries: Sequence[QueryResult], summary: dict) -> None:
    """Write ``queries.json`` and ``summary.json``; numbers that are not finite become null."""
    write_json(directory / 'queries.json', [asdict(query) for query in queries])
    write_json(directory / 'summary.json', summary)


def summary_table(summary: dict) -> Table:
    """The summary for a terminal."""
    n = summary['n_queries']
    queries = counted(n, 'query', 'queries')
    title = f'{summary["method"]}, preset {summary["preset"]}: {queries}'
    table = Table('measure', 'value', title=title, title_justify='left')
    table.columns[1].justify = 'right'

    for (translation, degrees), percent in zip(
        summary['thresholds'], summary['success_rate'], strict=True
    ):
        table.add_row(f'success within {translation:g}, {degrees:g}°', _rate(percent, n))

    for key, (metres, degrees) in METRIC_THRESHOLDS.items():
        if summary[key] is not None:
            table.add_row(
                f'success within {100 * metres:g} cm, {degrees:g}°', _rate(summary[key], n)
            )

    table.add_section()
    table.add_row('median translation (normalized)', _number(summary['median_translation_norm']))
    if summary['success_5cm_5deg'] is not None:
        table.add_row('median translation (cm)', _number(summary['median_translation_cm']))

    table.add_row('median rotation (°)', _number(summary['median_rotation_deg']))
    table.add_row('median, 90th percentile (s)', _seconds(summary))
    table.add_row('mean NEES (6 is right)', _number(summary['mean_nees']))
    table.add_section()
    for status, count in sorted(summary['status_counts'].items()):
        table.add_row(status, str(count))

    return table


def _rate(percent: float, n: int) -> str:
    return f'{percent:.0f} % ({round(percent * n / 100)} of {n})'


def _number(value: float | None) -> str:
    return 'no answer' if value is None else f'{value:.4g}'


def _seconds(summary: dict) -> str:
    return f'{summary["median_seconds"]:.2f}, {summary["p90_seconds"]:.2f}'


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
