# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A run of ns-train is read as data: its frame is understood and nothing in it is executed."""

import os

import numpy as np
import pytest
import torch
from nerfstudio_files import APPLIED, SCALE, SHIFT, TURN, write_run

from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.nerfstudio_config import read_config
from caldiff_ros.mapping.nerfstudio_run import NerfstudioRun

MODEL = """\
  model: !!python/object:nerfstudio.models.nerfacto.NerfactoModelConfig
    _target: !!python/name:nerfstudio.models.nerfacto.NerfactoModel ''
    num_levels: 8
    num_proposal_samples_per_ray: !!python/tuple
    - 64
    - 32
    proposal_net_args_list:
    - hidden_dim: 16
      use_linear: false
    depth_loss_type: !!python/object/apply:nerfstudio.model_components.losses.DepthLossType
    - 1
"""


@pytest.fixture
def run(tmp_path):
    """The folder of a run of two checkpoints."""
    checkpoints = {}
    for step, value in ((9, 1.0), (100, 2.0)):
        box = torch.full((2, 3), value)
        checkpoints[step] = {'_model.field.aabb': box, 'datamanager.x': torch.zeros(1)}
    return write_run(tmp_path, 'nerfacto', MODEL, checkpoints)


def test_what_a_run_says(run, tmp_path):
    loaded = NerfstudioRun.load(run / 'config.yml')
    assert loaded.data == tmp_path / 'data'
    assert loaded.settings['num_levels'] == 8
    assert loaded.settings['num_proposal_samples_per_ray'] == [64, 32]
    assert loaded.settings['proposal_net_args_list'] == [{'hidden_dim': 16, 'use_linear': False}]
    assert list(loaded.weights) == ['field.aabb']
    assert float(loaded.weights['field.aabb'][0, 0]) == 2.0  # of the last step


def test_frame_of_the_poses_is_that_of_transforms_json(run):
    loaded = NerfstudioRun.load(run)
    points = np.random.default_rng(0).normal(size=(5, 3))
    expected = SCALE * (points @ TURN.T + SHIFT)
    got = points @ loaded.nerf_from_map[:3, :3].T + loaded.nerf_from_map[:3, 3]
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_a_run_on_a_model_of_colmap_needs_no_dataset(run, tmp_path):
    (tmp_path / 'data/transforms.json').unlink()
    config = run / 'config.yml'
    target = 'nerfstudio_dataparser.Nerfstudio '
    changed = config.read_text().replace(target, 'colmap_dataparser.ColmapDataParser ')
    config.write_text(changed)
    # its frame is that of the model, which nothing was applied to
    points = np.random.default_rng(0).normal(size=(5, 3))
    saved = points @ APPLIED[:, :3].T + APPLIED[:, 3]
    loaded = NerfstudioRun.load(run)
    got = points @ loaded.nerf_from_map[:3, :3].T + loaded.nerf_from_map[:3, 3]
    np.testing.assert_allclose(got, 2 * SCALE * (saved @ TURN.T + SHIFT), atol=1e-12)


def test_a_dataset_that_moved_is_named(run, tmp_path):
    (tmp_path / 'data').rename(tmp_path / 'moved')
    with pytest.raises(CaldiffError, match=r'transforms\.json, which defines the frame'):
        NerfstudioRun.load(run)
    assert NerfstudioRun.load(run, tmp_path / 'moved').data == tmp_path / 'moved'


@pytest.mark.parametrize(
    'attack',
    [
        '!!python/object/apply:os.system ["touch {}"]',
        '!!python/object/new:os.system ["touch {}"]',
        '!!python/object/apply:subprocess.check_call [["touch", "{}"]]',
        '!!python/object:builtins.eval {{"x": "{}"}}',
        '!!python/module:antigravity {}',
    ],
)
def test_a_malicious_configuration_executes_nothing(run, tmp_path, attack):
    mark = tmp_path / 'executed'
    config = run / 'config.yml'
    config.write_text(config.read_text() + f'extra: {attack.format(mark)}\n')
    read_config(config)
    assert not mark.exists()


class _Attack:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f'touch {self.mark}',)


def test_a_malicious_checkpoint_executes_nothing(run, tmp_path):
    mark = tmp_path / 'executed'
    path = run / 'nerfstudio_models/step-000000100.ckpt'
    torch.save({'pipeline': {}, 'extra': _Attack(mark)}, path)
    with pytest.raises(CaldiffError, match='could run code'):
        NerfstudioRun.load(run)
    assert not mark.exists()


def damage_config(run):
    (run / 'config.yml').write_text('{')


def other_method(run):
    path = run / 'config.yml'
    path.write_text(path.read_text().replace('NerfactoModel ', 'SplatfactoModel '))


def no_checkpoint(run):
    for path in (run / 'nerfstudio_models').iterdir():
        path.unlink()


def damage_checkpoint(run):
    (run / 'nerfstudio_models/step-000000100.ckpt').write_bytes(b'PK\x03\x04')


def no_transform(run):
    (run / 'dataparser_transforms.json').unlink()


def damage_transform(run):
    (run / 'dataparser_transforms.json').write_text('{"transform": [[1]], "scale": 1}')


def damage_dataset(run):
    (run.parents[3] / 'data/transforms.json').write_text('{"frames": [')


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (damage_config, 'is not YAML'),
        (other_method, 'expected nerfacto or depth-nerfacto'),
        (no_checkpoint, 'holds no checkpoint'),
        (damage_checkpoint, 'is damaged'),
        (no_transform, r'dataparser_transforms\.json cannot be read'),
        (damage_transform, r'dataparser_transforms\.json cannot be read'),
        (damage_dataset, r'data/transforms\.json cannot be read as JSON'),
    ],
)
def test_incomplete_runs_are_told(run, damage, sentence):
    damage(run)
    with pytest.raises(CaldiffError, match=sentence):
        NerfstudioRun.load(run)


def test_a_missing_run_is_told(tmp_path):
    with pytest.raises(CaldiffError, match=r'config\.yml cannot be read'):
        NerfstudioRun.load(tmp_path)
