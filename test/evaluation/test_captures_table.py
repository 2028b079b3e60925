# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of captures, of answers made by hand."""

from dataclasses import replace

import pytest
from test_certainty import query

from caldiff_ros.evaluation.captures_table import captures_sheet
from caldiff_ros.evaluation.method_results import MapSpec, MethodResults
from caldiff_ros.evaluation.printing import markdown
from caldiff_ros.evaluation.reproduction import write_sheet

FACTS = {
    'training_images': 28,
    'test_images': 7,
    'photograph_size': [960, 540],
    'map_size': [480, 270],
    'held_out_psnr_db': 28.26,
    'build_seconds': 195.0,
}


def cell(folder, scene, method, queries, metric=False):
    made = MethodResults(
        folder / 'cell.json',
        MapSpec(scene, '28-7', 0),
        method,
        {'seed': 0},
        metric=metric,
        map_facts=FACTS if scene == 'hall' else {},
    )
    made.begin_session('cpu')
    for number, one in enumerate(queries):
        made.add(replace(one, name=f'{number}'))
    return made


@pytest.fixture
def sheet(tmp_path):
    """Two captures; the hall is in metres."""
    sure = replace(
        query(0.001, 0.1, 'LOCALIZED', 0.9, nees=3.0),
        timings={'preparation': 0.006, 'diffusion': 0.5},
    )
    slow = replace(query(0.02, 3.0, 'NOT_LOCALIZED', 0.4, nees=9001.0), seconds=3.0)
    wrong = query(0.2, 3.0, 'LOCALIZED', 0.75)
    nothing = query(float('inf'), float('inf'), 'FAILED')
    cells = [
        cell(tmp_path, 'hall', 'fast', [sure, slow, wrong], metric=True),
        cell(tmp_path, 'hall', 'hloc-sift', [sure, nothing, nothing], metric=True),
        cell(tmp_path, 'yard', 'fast', [sure, replace(wrong, confidence=0.95)]),
        cell(tmp_path, 'yard', 'hloc-sift', [sure, sure]),
    ]
    return captures_sheet('Real captures', cells, 'All of it.')


def test_rows_say_how_exact_and_how_sure(sheet):
    fast, hloc, yard, _ = sheet.content['rows']
    assert fast['success_rate'] == pytest.approx([100 / 3, 200 / 3, 200 / 3, 200 / 3])
    assert fast['success_tight'] == pytest.approx(100 / 3)
    assert (fast['median_translation_norm'], fast['median_rotation_deg']) == (0.02, 3.0)
    assert fast['median_translation_cm'] == pytest.approx(4.0)  # 0.04 m
    assert yard['median_translation_cm'] is None
    assert (fast['n_localized'], fast['n_wrongly_sure']) == (2, 1)
    assert (fast['right_localized_percent'], fast['highest_wrong_confidence']) == (50.0, 0.75)
    assert (fast['mean_nees'], fast['median_nees']) == (4502.0, 4502.0)
    assert (fast['median_seconds'], fast['p90_seconds']) == (1.0, pytest.approx(2.6))
    stages = {'preparation': 0.002, 'diffusion': 0.5 / 3}
    assert fast['mean_stage_seconds'] == pytest.approx(stages)
    assert hloc['n_wrongly_sure'] == 0 and hloc['highest_wrong_confidence'] is None


def test_the_last_line_sums_over_all_captures(sheet):
    assert markdown(sheet).splitlines()[-1] == (
        'Wrongly sure of LOCALIZED over all captures: '
        'CaLDiff, preset fast 2 (up to 0.95) of 4; Hloc (SIFT) (full size) 0 of 3.'
    )


def test_all_three_tables_are_printed(sheet, tmp_path):
    write_sheet(tmp_path, 'real', sheet)
    lines = (tmp_path / 'real.md').read_text().splitlines()
    assert '| hall | 28-7 | 28 | 7 | 960x540 | 480x270 | 28.3 | 3.2 |' in lines
    assert '| yard | 28-7 |  |  |  |  |  |  |' in lines  # results of before maps were described
    assert (
        '| hall | 28-7 | CaLDiff, preset fast | 33 | 33, 67, 67, 67 | 0.0200, 3.00° | 4.00 |'
    ) in lines
    assert '| hall | 28-7 | Hloc (SIFT) (full size) | 33 | 33, 33, 33, 33 | no answer |  |' in lines
    assert (
        '| hall | 28-7 | CaLDiff, preset fast | 2 of 3 | 1 (up to 0.75) | 50 | 4502, 4502 '
        '| 1.00, 2.60 | diffusion 0.17 |'
    ) in lines
    assert (
        '| hall | 28-7 | Hloc (SIFT) (full size) | 1 of 3 | 0 | 100 | 3.0, 3.0 '
        '| 1.00, 1.00 | diffusion 0.17 |'
    ) in lines
    assert (tmp_path / 'real.png').stat().st_size > 10_000
    assert (tmp_path / 'real.json').is_file()
