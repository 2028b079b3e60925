# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`caldiff benchmark` on the plane world."""

import json

import numpy as np
import pytest

from caldiff_ros.cli import main
from caldiff_ros.evaluation import benchmark

METHODS = ['fast:particles=1000', 'fast']


@pytest.fixture
def few(monkeypatch):
    """A short look at how the time grows, and at what an image alone takes."""
    monkeypatch.setattr(benchmark, 'PARTICLES', (10, 20))
    monkeypatch.setattr(benchmark, 'RESOLUTIONS', (1.0,))
    monkeypatch.setattr(benchmark, 'CAMERAS', (1, 2))
    monkeypatch.setattr(benchmark, 'SIDES', (60, 120))
    monkeypatch.setattr(benchmark, 'RENDERED', 3)


def test_methods_are_compared_on_the_same_queries(plane, plane_map, tmp_path, few, capsys):
    output = tmp_path / 'benchmark'
    arguments = [
        'benchmark', str(plane_map), str(plane), '--split', '12-4', '--queries', '2',
        '--methods', *METHODS, '--device', 'cpu', '--output', str(output),
    ]  # fmt: skip
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    # in turn, on the same images
    told = [line.partition(':')[0].split()[1] for line in err.splitlines() if line.endswith(' s')]
    assert told == ['fast', 'fast', 'fast', 'fast'] and len(set(err.split())) > 4
    content = json.loads((output / 'benchmark.json').read_text())
    many, usual = content['methods']
    assert [many['method'], usual['method']] == METHODS
    for row in (many, usual):
        assert 0 < row['median_seconds'] <= row['p90_seconds'] <= row['p99_seconds']
        stages = row['mean_stage_seconds']
        assert list(stages)[:2] == ['preparation', 'diffusion']
        assert 0 < sum(stages.values()) <= row['p99_seconds'] * 1.01
        assert 100 < row['peak_memory_mb'] < 4000
        assert row['success_rate'] == sorted(row['success_rate'])
    # the first look at 900 more particles outweighs whatever the refinement takes
    assert many['median_rays'] - 50_000 > usual['median_rays'] > 0
    assert [point['value'] for point in content['growth']['particles']] == [10, 20]
    assert np.all([p['seconds'] > 0 for points in content['growth'].values() for p in points])
    built = content['made_with']['map_build_stage_seconds']
    assert list(built)[-1] == 'diffusion' and sum(built.values()) > 0
    assert 'CaLDiff, preset fast' in out and 'refinement' in out
    assert '2 queries' in (output / 'benchmark.md').read_text()
    assert (output / 'benchmark.png').stat().st_size > 1000


def test_an_unknown_method_is_explained(plane, plane_map, capsys):
    assert main(['benchmark', str(plane_map), str(plane), '--methods', 'fast:colour=1']) == 2
    assert "'fast:colour=1' is not known" in capsys.readouterr().err
