# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The check of a GPU runs, smaller, where there is none."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from caldiff_ros.demo import data
from caldiff_ros.demo.data import read_demo

SCRIPT = Path(__file__).parents[2] / 'scripts/check_cuda.py'


@pytest.fixture
def check(monkeypatch):
    """The script run with arguments; its exit status."""

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(SCRIPT), *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name='__main__')
        return ended.value.code

    return run


@pytest.fixture
def few_images(monkeypatch):
    """The throughput is that of all images of the demo, also where the rest is tiny."""

    def read_few(folder):
        camera, images = read_demo(folder)
        return camera, images[:4]

    monkeypatch.setattr(data, 'read_demo', read_few)


def test_on_a_cpu_it_measures_a_little_of_everything(check, few_images, tmp_path, capsys):
    assert check('--device', 'cpu', '--tiny', '--output', str(tmp_path)) == 0
    content = json.loads((tmp_path / 'check_cuda.json').read_text())
    [preset] = content['presets']
    assert preset['preset'] == 'fast' and preset['success_rate'] == 100
    assert preset['p90_ms'] >= preset['median_ms'] > 0
    [build] = content['builds']
    assert build['images'] == 6 and build['training_psnr_db'] > 15
    assert set(build['stage_seconds']) >= {'points', 'field', 'views', 'diffusion'}
    assert [row['at_once'] for row in content['throughput']] == [1, 2]
    assert "the CPU's kernels" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_it_says_so(check, capsys):
    assert check() == 2
    assert capsys.readouterr().err.strip().endswith('expected one; give --device cpu')
