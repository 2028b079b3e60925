# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The examples run as they are, and find the true pose."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / 'examples'
NUMBER = r'-?\d+\.?\d*(?:e-?\d+)?'


def true_pose(name: str) -> np.ndarray:
    entries = json.loads((ROOT / 'demo/poses.json').read_text())
    [pose] = [entry['T_map_cam'] for entry in entries if entry['image'] == f'images/{name}']
    return np.array(pose)


def test_one_image_is_localized():
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    result = subprocess.run(
        [sys.executable, EXAMPLES / 'localize_image.py'],
        env={**os.environ, 'PYTHONPATH': path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    status, _, matrix = result.stdout.partition('\n')
    assert status.startswith('LOCALIZED, confidence ')
    pose = np.array(re.findall(NUMBER, matrix), dtype=float).reshape(4, 4)
    # map units; the cameras of the map lie within 2.1 of them
    np.testing.assert_allclose(pose, true_pose('10.png'), atol=0.005)


def test_the_first_example_is_short():
    lines = (EXAMPLES / 'localize_image.py').read_text().splitlines()
    assert len([line for line in lines if line and not line.startswith('#')]) <= 20


def test_a_folder_without_a_dataset_is_one_sentence(tmp_path, monkeypatch, capsys):
    script = str(EXAMPLES / 'map_from_colmap.py')
    monkeypatch.setattr(sys, 'argv', [script, str(tmp_path), str(tmp_path / 'image.png')])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name='__main__')
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f'map_from_colmap: {tmp_path} holds no dataset, expected ')


def stored_outputs(notebook) -> list:
    return [output for cell in notebook['cells'] for output in cell.get('outputs', [])]


def test_the_notebook_is_stored_without_outputs():
    notebook = json.loads((EXAMPLES / 'walkthrough.ipynb').read_text())
    assert stored_outputs(notebook) == []


def test_the_notebook_runs_to_its_end():
    nbformat = pytest.importorskip('nbformat')
    nbclient = pytest.importorskip('nbclient')
    pytest.importorskip('ipykernel')
    notebook = nbformat.read(EXAMPLES / 'walkthrough.ipynb', as_version=4)
    resources = {'metadata': {'path': str(EXAMPLES)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()

    outputs = stored_outputs(notebook)
    pictures = [output for output in outputs if 'image/png' in output.get('data', {})]
    assert len(pictures) == 6
    # the last cell: how far the answer is from the truth
    off = re.search(rf'off by ({NUMBER}) map units and ({NUMBER}) degrees', outputs[-1]['text'])
    assert float(off[1]) < 0.005
    assert float(off[2]) < 0.2
