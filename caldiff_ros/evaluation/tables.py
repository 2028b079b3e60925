# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables like the paper's, with the paper's figures beside ours."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from caldiff_ros.evaluation.method_results import MethodResults
from caldiff_ros.evaluation.methods import named_method
from caldiff_ros.evaluation.metrics import (
    METRIC_THRESHOLDS,
    THRESHOLDS,
    TIGHT_THRESHOLD,
    success_percent,
)
from caldiff_ros.evaluation.paper import PaperTable
from caldiff_ros.evaluation.printing import PrintedTable, Sheet
from caldiff_ros.evaluation.report import success_rates
from caldiff_ros.wording import counted

#: Methods that stand beside another one's figures: both presets beside the paper's CaLDiff.
_PRINTED_AS = {'fast': 'paper'}
#: What the columns of a table hold, and their share of its width in a picture.
_COLUMNS = {
    'scene': 0.08,
    'split': 0.06,
    'method': 0.24,
    'tight (%)': 0.06,
    'success (%)': 0.18,
    'paper (%)': 0.1,
    '5cm5° 2cm2°': 0.09,
    'median': 0.11,
    's': 0.08,
}


def paper_sheet(paper: PaperTable, cells: Sequence[MethodResults], asked: str) -> Sheet:
    """A table like the paper's.

    Args:
        paper: the table of the paper.
        cells: results, in the order of the rows.
        asked: what part of the protocol was asked for, in words.
    """
    rows = []
    for (scene, split, method), group in itertools.groupby(
        cells, lambda cell: (cell.map_spec.scene, cell.map_spec.split, cell.method)
    ):
        printed = paper.rates(scene, split, _PRINTED_AS.get(method, method))
        rows.append(_row(list(group), printed))

    content = {
        'caption': paper.caption,
        'asked': asked,
        'thresholds': [list(threshold) for threshold in THRESHOLDS],
        'tight_threshold': list(TIGHT_THRESHOLD),
        'rows': rows,
        'made_with': made_with(cells),
    }
    bands = [(row['scene'], row['split']) for row in rows]
    table = PrintedTable(paper.caption, _COLUMNS, [_texts(row) for row in rows], bands)

    return Sheet(content, [table], _note(content))


def made_with(cells: Sequence[MethodResults]) -> dict[str, Any]:
    """Dates, commits, machines, versions and seeds of results."""
    sessions = [session for cell in cells for session in cell.sessions]
    return {
        'dates': sorted({session['date'][:10] for session in sessions}),
        'commits': sorted({session['commit'] or 'unknown' for session in sessions}),
        'hardware': _distinct([session['hardware'] for session in sessions]),
        'versions': _distinct([session['versions'] for session in sessions]),
        'seeds': sorted({cell.identity['seed'] for cell in cells}),
    }


def made_with_text(made: dict[str, Any]) -> str:
    """The same, without the versions, in a sentence."""
    machines = '; '.join(
        f'{hardware.get("gpu", hardware["cpu"])}, {counted(hardware["torch_threads"], "thread")}'
        for hardware in made['hardware']
    )
    return (
        f'Seed {", ".join(map(str, made["seeds"]))}, {machines}, '
        f'commit {", ".join(made["commits"])}, {", ".join(made["dates"])}.'
    )


def thresholds_text() -> str:
    """Within what a pose is a success, and what is tight."""
    *bounds, tight = (f'({t:g}, {d:g}°)' for t, d in (*THRESHOLDS, TIGHT_THRESHOLD))
    return f'Success within {", ".join(bounds)}, normalized units, tight: within {tight}'


def _note(content: dict[str, Any]) -> str:
    """What the columns mean and what they were made with."""
    return (
        f'{content["asked"]} {thresholds_text()}; ± is the standard '
        'deviation over the variants; median of translation, normalized, and rotation; s are the '
        f'median and the 90th percentile per query. {made_with_text(content["made_with"])}'
    )


def _row(cells: list[MethodResults], paper: list[float] | None) -> dict[str, Any]:
    """One method on all variants of a split."""
    cell = cells[0]
    queries = [query for one in cells for query in one.queries.values()]
    rates = np.array([success_rates(list(one.queries.values())) for one in cells])
    degrees = np.array([q.rotation_deg for q in queries])
    in_map = np.array([q.translation_map for q in queries])
    normalized = np.array([q.translation_norm for q in queries])
    metric = cell.metric and {
        key: success_percent(in_map, degrees, threshold)
        for key, threshold in METRIC_THRESHOLDS.items()
    }

    return {
        'scene': cell.map_spec.scene,
        'split': cell.map_spec.split,
        'method': cell.method,
        'n_variants': len(cells),
        'n_queries': len(queries),
        'success_rate': rates.mean(axis=0).tolist(),
        'success_spread': rates.std(axis=0).tolist() if len(cells) > 1 else None,
        'success_tight': success_percent(normalized, degrees, TIGHT_THRESHOLD),
        'success_metric': metric or None,
        'paper': paper,
        'median_translation_norm': float(np.median(normalized)),
        'median_rotation_deg': float(np.median(degrees)),
        'median_seconds': float(np.median([q.seconds for q in queries])),
        'p90_seconds': float(np.percentile([q.seconds for q in queries], 90)),
        'preparation_seconds': sum(one.preparation_seconds for one in cells),
        'status_counts': dict(Counter(q.status for q in queries)),
    }


def _texts(row: dict[str, Any]) -> list[str]:
    """The entries of a row, in the order of `_COLUMNS`."""
    spread = row['success_spread'] or [None] * len(row['success_rate'])
    ours = [
        f'{rate:.0f}' if deviation is None else f'{rate:.0f}±{deviation:.0f}'
        for rate, deviation in zip(row['success_rate'], spread, strict=True)
    ]

    metric = row['success_metric']
    return [
        row['scene'],
        row['split'],
        named_method(row['method']).title,
        f'{row["success_tight"]:.0f}',
        ', '.join(ours),
        '' if row['paper'] is None else ', '.join(f'{rate:g}' for rate in row['paper']),
        '' if metric is None else ', '.join(f'{rate:.0f}' for rate in metric.values()),
        median_text(row),
        f'{row["median_seconds"]:.2f}, {row["p90_seconds"]:.2f}',
    ]


def median_text(row: dict[str, Any]) -> str:
    """The median errors of a row."""
    distance, degrees = row['median_translation_norm'], row['median_rotation_deg']
    return f'{distance:.4f}, {degrees:.2f}°' if np.isfinite(distance) else 'no answer'


def _distinct(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry for i, entry in enumerate(entries) if entry not in entries[:i]]
