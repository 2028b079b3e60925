# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real captures: how exact the answers are, whether they may be sure, and what they cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from caldiff_ros.baselines.hloc.config import FULL_SIDE
from caldiff_ros.evaluation.certainty import Certainty
from caldiff_ros.evaluation.method_results import MethodResults
from caldiff_ros.evaluation.methods import named_method
from caldiff_ros.evaluation.metrics import THRESHOLDS, TIGHT_THRESHOLD, success_percent
from caldiff_ros.evaluation.printing import PrintedTable, Sheet
from caldiff_ros.evaluation.report import mean_stages, success_rates
from caldiff_ros.evaluation.tables import made_with, made_with_text, median_text, thresholds_text
from caldiff_ros.localization.correctness import RIGHT

#: What the columns of the three tables hold, and their share of the width in a picture.
_MAPS = {
    'capture': 0.2,
    'split': 0.1,
    'training images': 0.12,
    'test images': 0.1,
    'photographs': 0.12,
    'map': 0.12,
    'held-out PSNR (dB)': 0.12,
    'build (min)': 0.12,
}
_ACCURACY = {
    'capture': 0.13,
    'split': 0.08,
    'method': 0.29,
    'tight (%)': 0.1,
    'success (%)': 0.15,
    'median': 0.15,
    'median (cm)': 0.1,
}
_TRUST = {
    'capture': 0.08,
    'split': 0.05,
    'method': 0.18,
    'LOCALIZED': 0.06,
    'wrongly sure': 0.08,
    'of right (%)': 0.07,
    'NEES': 0.07,
    's': 0.07,
    's per stage': 0.34,
}
#: Seconds of a stage that are printed; shorter ones would be 0.00.
_SHORTEST_S = 0.005


def captures_sheet(caption: str, cells: Sequence[MethodResults], asked: str) -> Sheet:
    """Tables of the maps, of the accuracy, and of trust and time, and a sum over all captures.

    Args:
        caption: what all of it is called.
        cells: results, in the order of the rows.
        asked: what part of the protocol was asked for, in words.
    """
    groups = [
        list(group)
        for _, group in itertools.groupby(
            cells, lambda cell: (cell.map_spec.scene, cell.map_spec.split, cell.method)
        )
    ]
    rows = [_row(group) for group in groups]
    maps = _maps(cells)
    content = {
        'caption': caption,
        'asked': asked,
        'thresholds': [list(threshold) for threshold in THRESHOLDS],
        'tight_threshold': list(TIGHT_THRESHOLD),
        'right_threshold': list(RIGHT),
        'maps': maps,
        'rows': rows,
        'overall': _overall(cells),
        'made_with': made_with(cells),
    }
    bands = [(row['scene'], row['split']) for row in rows]

    return Sheet(
        content,
        [
            PrintedTable(
                f'{caption}: the maps',
                _MAPS,
                [_map_texts(entry) for entry in maps],
                [(entry['scene'], entry['split']) for entry in maps],
            ),
            PrintedTable(
                f'{caption}: accuracy', _ACCURACY, [_accuracy_texts(row) for row in rows], bands
            ),
            PrintedTable(
                f'{caption}: trust and time', _TRUST, [_trust_texts(row) for row in rows], bands
            ),
        ],
        _note(content),
    )


def _maps(cells: Sequence[MethodResults]) -> list[dict[str, Any]]:
    """Every map once."""
    facts = {cell.map_spec: cell.map_facts for cell in cells}
    return [{**asdict(map_spec), **known} for map_spec, known in facts.items()]


def _row(cells: list[MethodResults]) -> dict[str, Any]:
    """One method on all variants of a split of a capture."""
    cell = cells[0]
    queries = [query for one in cells for query in one.queries.values()]
    normalized = np.array([q.translation_norm for q in queries])
    degrees = np.array([q.rotation_deg for q in queries])
    seconds = [q.seconds for q in queries]
    centimetres = 100 * float(np.median([q.translation_map for q in queries]))
    certainty = Certainty.of(queries)

    return {
        'scene': cell.map_spec.scene,
        'split': cell.map_spec.split,
        'method': cell.method,
        'title': _title(cell.method),
        'n_variants': len(cells),
        'n_queries': len(queries),
        'success_rate': success_rates(queries),
        'success_tight': success_percent(normalized, degrees, TIGHT_THRESHOLD),
        'median_translation_norm': float(np.median(normalized)),
        'median_rotation_deg': float(np.median(degrees)),
        'median_translation_cm': centimetres if cell.metric else None,
        **asdict(certainty),
        'right_localized_percent': certainty.right_localized_percent,
        'median_seconds': float(np.median(seconds)),
        'p90_seconds': float(np.percentile(seconds, 90)),
        'mean_stage_seconds': mean_stages(queries),
        'preparation_seconds': sum(one.preparation_seconds for one in cells),
    }


def _title(method: str) -> str:
    """What a method is called here, where some see the photographs at full size."""
    named = named_method(method)
    return f'{named.title} (full size)' if named.full_size else named.title


def _overall(cells: Sequence[MethodResults]) -> list[dict[str, Any]]:
    """How sure every method is over all captures."""
    queries: dict[str, list] = {}
    for cell in cells:
        queries.setdefault(cell.method, []).extend(cell.queries.values())

    return [
        {'method': method, 'title': _title(method), **asdict(Certainty.of(of))}
        for method, of in queries.items()
    ]


def _map_texts(entry: dict[str, Any]) -> list[str]:
    """The entries of a row, in the order of `_MAPS`; what older results do not know is left out."""
    psnr_db, seconds = entry.get('held_out_psnr_db'), entry.get('build_seconds')
    sizes = [entry.get('photograph_size'), entry.get('map_size')]

    return [
        entry['scene'],
        entry['split'],
        *(str(entry.get(key, '')) for key in ('training_images', 'test_images')),
        *('' if size is None else f'{size[0]}x{size[1]}' for size in sizes),
        '' if psnr_db is None else f'{psnr_db:.1f}',
        '' if seconds is None else f'{seconds / 60:.1f}',
    ]


def _accuracy_texts(row: dict[str, Any]) -> list[str]:
    """The entries of a row, in the order of `_ACCURACY`."""
    centimetres = row['median_translation_cm']
    found = np.isfinite(row['median_translation_norm'])

    return [
        row['scene'],
        row['split'],
        row['title'],
        f'{row["success_tight"]:.0f}',
        ', '.join(f'{rate:.0f}' for rate in row['success_rate']),
        median_text(row),
        '' if centimetres is None or not found else f'{centimetres:.2f}',
    ]


def _trust_texts(row: dict[str, Any]) -> list[str]:
    """The entries of a row, in the order of `_TRUST`."""
    share, stages = row['right_localized_percent'], row['mean_stage_seconds']
    nees = [row['mean_nees'], row['median_nees']]

    return [
        row['scene'],
        row['split'],
        row['title'],
        f'{row["n_localized"]} of {row["n_queries"]}',
        _wrongly_sure(row),
        '' if share is None else f'{share:.0f}',
        '' if None in nees else ', '.join(f'{n:.1f}' if n < 100 else f'{n:.0f}' for n in nees),
        f'{row["median_seconds"]:.2f}, {row["p90_seconds"]:.2f}',
        ', '.join(f'{s} {mean:.2f}' for s, mean in stages.items() if mean >= _SHORTEST_S),
    ]


def _wrongly_sure(counts: dict[str, Any]) -> str:
    """A number of answers, and the confidence of the surest."""
    highest = counts['highest_wrong_confidence']
    return str(counts['n_wrongly_sure']) + ('' if highest is None else f' (up to {highest:.2f})')


def _note(content: dict[str, Any]) -> str:
    """What the columns mean and what they were made with; at last the sum over all captures."""
    distance, angle = content['right_threshold']
    sums = '; '.join(
        f'{one["title"]} {_wrongly_sure(one)} of {one["n_localized"]}' for one in content['overall']
    )

    return (
        f'{content["asked"]} {thresholds_text()}; median of translation, normalized, and rotation, '
        'in cm where the capture is metric. "wrongly sure" are LOCALIZED answers beyond '
        f'({distance:g}, {angle:g}°), with the largest confidence of one, "of right" how many of '
        'the right ones are LOCALIZED, NEES their mean and median (6 is right); s are the median '
        'and the 90th percentile per query, those of stages means. (full size): on the '
        f'photographs themselves, reduced only where the longer side is above {FULL_SIDE} pixels. '
        f'{made_with_text(content["made_with"])}\n'
        f'Wrongly sure of LOCALIZED over all captures: {sums}.'
    )
