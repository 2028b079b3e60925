# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A dataset of the plane world and a map of it, made by the command."""

import json

import numpy as np
import pytest
from plane_world import look_at, write_nerfstudio

from caldiff_ros.cli import main

#: A build of some 15 seconds.
_SMALL = """
    --device cpu --field.iterations 450 --field.iterations-per-view 0
    --views.count 300 --diffusion.iterations 350 --diffusion.images 64
    --diffusion.model.conditioning.backbone efficientnet_lite0
    --diffusion.model.conditioning.image-size 60 --diffusion.model.denoiser.width 128
"""


@pytest.fixture(scope='session')
def plane(tmp_path_factory):
    """Sixteen images of the plane world."""
    rng = np.random.default_rng(0)
    eyes = rng.uniform([-1, -1, 2.2], [1, 1, 3.4], (16, 3))
    targets = eyes * [0.5, 0.5, 0] + rng.uniform([-0.2, -0.2, 0], [0.2, 0.2, 0], (16, 3))
    views = [look_at(eye, target) for eye, target in zip(eyes, targets, strict=True)]
    root = write_nerfstudio(tmp_path_factory.mktemp('data') / 'plane', views)
    transforms = root / 'transforms.json'
    content = json.loads(transforms.read_text())
    content['aabb'] = [[-2.6, -2.6, -0.4], [2.6, 2.6, 0.4]]
    transforms.write_text(json.dumps(content))
    return root


@pytest.fixture(scope='session')
def small():
    """Flags of a small build."""
    return _SMALL.split()


@pytest.fixture(scope='session')
def plane_map(plane, small, tmp_path_factory):
    """A map of twelve of the images."""
    output = tmp_path_factory.mktemp('maps') / 'plane'
    assert main(['build-map', str(plane), '--output', str(output), '--split', '12-4', *small]) == 0
    return output
