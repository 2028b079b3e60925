# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The check of a GPU runs, smaller, where there is none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'scripts/check_cuda.py'


def check(*arguments):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], env=environment, capture_output=True, text=True
    )


def test_on_a_cpu_it_measures_a_little_of_everything(tmp_path):
    done = check('--device', 'cpu', '--tiny', '--output', str(tmp_path))
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / 'check_cuda.json').read_text())
    [preset] = content['presets']
    assert preset['preset'] == 'fast' and preset['success_rate'] == 100
    assert preset['p90_ms'] >= preset['median_ms'] > 0
    [build] = content['builds']
    assert build['images'] == 6 and build['training_psnr_db'] > 15
    assert set(build['stage_seconds']) >= {'points', 'field', 'views', 'diffusion'}
    assert [row['at_once'] for row in content['throughput']] == [1, 2]
    assert "the CPU's kernels" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_it_says_so():
    done = check()
    assert done.returncode == 2
    assert done.stderr.strip().endswith('expected one; give --device cpu')
