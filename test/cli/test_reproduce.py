# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`caldiff reproduce` on the plane world, whose map is there already."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from caldiff_ros.baselines.bounds import make_nearest_training_view
from caldiff_ros.cli import main
from caldiff_ros.evaluation import THRESHOLDS, figures
from caldiff_ros.evaluation.methods import METHODS, Method
from caldiff_ros.evaluation.paper import paper_tables
from caldiff_ros.localization import LocalizationMap

#: What differs between two runs that found the same.
TIMES = ('median_seconds', 'p90_seconds', 'preparation_seconds')


@pytest.fixture
def arguments(plane, plane_map, tmp_path):
    """Arguments for a folder of results that has the map."""

    def make(name, *more):
        output = tmp_path / name
        shutil.copytree(plane_map, output / 'maps/plane-12-4-v0')
        return output, [
            'reproduce', 'table1', '--data', str(plane.parent), '--scenes', 'plane',
            '--splits', '12-4', '--variants', '1', '--queries', '3', '--device', 'cpu',
            '--output', str(output), *more,
        ]  # fmt: skip

    return make


def rows(output):
    content = json.loads((output / 'table1.json').read_text())
    return [{k: v for k, v in row.items() if k not in TIMES} for row in content['rows']]


def test_a_killed_run_resumes_and_gives_the_same_table(arguments):
    whole, command = arguments('whole', '--methods', 'fast')
    assert main(command) == 0
    output, command = arguments('killed', '--methods', 'fast')
    cell = output / 'cells/plane-12-4-v0/fast.json'
    process = subprocess.Popen(
        [sys.executable, '-m', 'caldiff_ros.cli', *command], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (cell.is_file() and json.loads(cell.read_text())['queries']):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    answered = json.loads(cell.read_text())['queries']
    assert 1 <= len(answered) < 3 and not (output / 'table1.json').exists()
    assert main(command) == 0
    # another process rounds otherwise, by where its arrays begin in memory
    [found], [expected] = rows(output), rows(whole)
    medians = ('median_translation_norm', 'median_rotation_deg')
    for median in medians:
        assert found.pop(median) == pytest.approx(expected.pop(median), rel=0.01)
    assert found == expected
    content = json.loads(cell.read_text())
    assert content['queries'][: len(answered)] == answered
    assert len(content['sessions']) == 2


def test_rates_are_those_of_the_queries_on_disk(arguments, capsys):
    output, command = arguments('output', '--methods', 'fast')
    assert main(command) == 0
    [row] = rows(output)
    queries = json.loads((output / 'cells/plane-12-4-v0/fast.json').read_text())['queries']
    assert len(queries) == 3
    distances = []
    for query in queries:
        true, found = np.array(query['T_map_cam_true']), np.array(query['T_map_cam'])
        distances.append(np.linalg.norm(true[:3, 3] - found[:3, 3]))
        chord = np.linalg.norm(true[:3, :3] - found[:3, :3])
        angle = 2 * np.degrees(np.arcsin(chord / np.sqrt(8)))
        assert angle == pytest.approx(query['rotation_deg'], abs=1e-3)
    assert distances == pytest.approx([query['translation_map'] for query in queries])
    expected = [
        100 / 3 * sum(q['translation_norm'] < t and q['rotation_deg'] < d for q in queries)
        for t, d in [*THRESHOLDS, (0.0025, 0.5)]
    ]
    assert [*row['success_rate'], row['success_tight']] == pytest.approx(expected)
    assert 'plane' in capsys.readouterr().out
    assert '3 of the test images' in (output / 'table1.md').read_text()
    assert (output / 'table1.png').stat().st_size > 1000


def test_without_time_nothing_is_lost(arguments, capsys):
    output, command = arguments('output', '--methods', 'fast')
    assert main([*command, '--budget', '0']) == 0
    assert 'the time budget is used up' in capsys.readouterr().out
    assert main(command) == 0
    assert len(rows(output)) == 1


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        (['--methods', 'magic'], "'magic' is not known"),
        (['--scenes', 'atlantis'], 'atlantis is not a folder'),
        (['--variants', '0'], '0 variants'),
    ],
)
def test_a_wrong_argument_is_explained(arguments, capsys, changes, sentence):
    _, command = arguments('output')
    assert main([*command, *changes]) == 2
    assert sentence in capsys.readouterr().err


def test_results_of_another_seed_are_not_mixed_in(arguments, capsys):
    _, command = arguments('output', '--methods', 'fast', '--queries', '1')
    assert main(command) == 0
    assert main([*command, '--seed', '1']) == 2
    assert 'was made with seed 0, expected 1' in capsys.readouterr().err


def test_captures_keep_the_size_of_their_maps(plane, plane_map, tmp_path, monkeypatch):
    output = tmp_path / 'output'
    small = LocalizationMap.load(plane_map)
    small = replace(small, camera=small.camera.downscaled(2))
    small.provenance |= {'downscale_factor': 2.0, 'held_out_psnr_db': 31.2}
    small.save(output / 'real/maps/plane-12-4-v0')
    photographs = []

    def nearest(setup):
        photographs.extend(setup.photographs)
        return make_nearest_training_view(setup)

    monkeypatch.setitem(METHODS, 'hloc-sift', Method('Hloc (SIFT)', nearest, full_size=True))
    command = [
        'reproduce', 'real', '--data', str(plane.parent), '--splits', '12-4', '--queries', '2',
        '--methods', 'fast', 'hloc-sift', '--device', 'cpu', '--output', str(output),
    ]  # fmt: skip
    assert main(command) == 0
    assert len(photographs) == 12
    content = json.loads((output / 'real.json').read_text())
    [facts] = content['maps']
    assert (facts['photograph_size'], facts['map_size']) == ([60, 40], [30, 20])
    assert (facts['training_images'], facts['test_images']) == (12, 4)
    assert facts['held_out_psnr_db'] == 31.2 and facts['build_seconds'] > 1
    assert [row['n_queries'] for row in content['rows']] == [2, 2]
    assert sorted(path.name for path in output.iterdir()) == [
        'real', 'real.json', 'real.md', 'real.png',
    ]  # fmt: skip


def test_the_paper_s_tables_have_images_of_one_size(arguments, monkeypatch):
    photographs = []

    def nearest(setup):
        photographs.append(setup.photographs)
        return make_nearest_training_view(setup)

    monkeypatch.setitem(METHODS, 'hloc', Method('Hloc', nearest, full_size=True))
    output, command = arguments('output', '--methods', 'hloc')
    assert main(command) == 0
    assert photographs == [()]
    assert '(full size)' not in (output / 'table1.md').read_text()


def test_the_papers_figures():
    tables = paper_tables()
    assert tables['table1'].rates('lego', '50-25', 'paper') == [80, 84, 84, 88]
    assert tables['table2'].rates('redkitchen', '200-50', 'hloc') == [12, 52, 68, 70]
    assert tables['table3'].rates('chair', '15-25', 'diffusion-only') == [0, 0, 2, 10]
    assert tables['table4'].rates('stairs1', '100-30', 'diffusion-only') == [0, 0, 4, 48]
    assert tables['table1'].rates('plane', '12-4', 'paper') is None
    for table in tables.values():
        for scene, splits in table.results.items():
            for methods in splits.values():
                for rates in methods.values():
                    assert len(rates) == 4 and all(0 <= rate <= 100 for rate in rates), scene


def test_figures(arguments, monkeypatch):
    monkeypatch.setattr(figures, 'SWEEPS', {'particles': (10, 20), 'diffusion_steps': (5,)})
    output, command = arguments('output', '--methods', 'fast')
    for number in (3, 4, 5):
        command[1] = f'figure{number}'
        assert main(command) == 0
        assert (output / f'figure{number}.png').stat().st_size > 10_000
    with Image.open(output / 'figure4.gif') as moving:
        assert moving.n_frames > 10  # before the first of 10 steps, and after each
    numbers = json.loads((output / 'figure5.json').read_text())
    assert [point['value'] for point in numbers['particles P']] == [10, 20]
    assert [point['value'] for point in numbers['training images T']] == [12]
    cell = json.loads((output / 'cells/plane-12-4-v0/fast:particles=10.json').read_text())
    errors = [query['rotation_deg'] for query in cell['queries']]
    assert numbers['particles P'][0]['median_rotation_deg'] == pytest.approx(np.median(errors))
