# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small datasets in the published layouts, photographs of the plane world."""

import json
import os
import resource
from contextlib import contextmanager

import caldiff_ros  # noqa: F401 - before PyTorch, whose threads wait as they do for users then

# isort: split
import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    # Triton looks when it is imported, which the package does with PyTorch's optimizers
    os.environ.setdefault('TRITON_INTERPRET', '1')

from plane_world import VIEWS_GL, photograph, write_nerfstudio, write_png


@pytest.fixture(autouse=True)
def seed():
    """Each test draws the same numbers, alone and in company."""
    torch.manual_seed(0)


@pytest.fixture
def blender(tmp_path):
    """Two training and two test images, 40x40, field of view 60 degrees, transparent left rim."""
    root = tmp_path / 'blender'
    focal = 20 / np.tan(np.radians(30))
    for subset, views in (('train', VIEWS_GL[:2]), ('test', VIEWS_GL[2:])):
        frames = []
        for number, T in enumerate(views):
            color, _ = photograph(T, 40, 40, focal)
            alpha = np.full((40, 40, 1), 255, np.uint8)
            alpha[:, :4] = 0
            write_png(root / subset / f'r_{number}.png', np.concatenate([color, alpha], axis=2))
            frames.append({'file_path': f'./{subset}/r_{number}', 'transform_matrix': T.tolist()})
        content = {'camera_angle_x': np.radians(60), 'frames': frames}
        (root / f'transforms_{subset}.json').write_text(json.dumps(content))
    return root


@pytest.fixture
def nerfstudio(tmp_path):
    """Four images 60x40 with depth in units of 0.0001, common intrinsics."""
    return write_nerfstudio(tmp_path / 'nerfstudio', VIEWS_GL)


@pytest.fixture
def seven_scenes(tmp_path):
    """The published layout: two sequences of two frames, 640 pixels wide shrunk to 64."""
    root = tmp_path / 'kitchen'
    for number, T in enumerate(VIEWS_GL):
        stem = root / f'seq-0{1 + number // 2}' / f'frame-00000{number % 2}'
        color, _ = photograph(T, 64, 48, 52.5)
        _, depth = photograph(T, 64, 48, 58.5)
        write_png(stem.with_name(stem.name + '.color.png'), color)
        write_png(stem.with_name(stem.name + '.depth.png'), np.rint(depth * 1e3).astype(np.uint16))
        T_optical = T.copy()
        T_optical[:, 1:3] *= -1
        np.savetxt(stem.with_name(stem.name + '.pose.txt'), T_optical, fmt='%.8e', delimiter='\t ')
    (root / 'TrainSplit.txt').write_text('sequence2\n')
    (root / 'TestSplit.txt').write_text('sequence1\n')
    return root


@pytest.fixture
def edit_json():
    """Change a JSON file in place with a function of its object."""

    def edit(path, change):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


@pytest.fixture
def full_disk():
    """While ``full_disk(n)`` lasts, writing fails in earnest beyond n bytes of a file."""

    @contextmanager
    def limit(n_bytes):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit
