# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a training."""

import pytest
import torch

from caldiff_ros.training import Checkpoint, TimedReport, mixed_precision


def test_only_the_same_training_resumes(tmp_path):
    Checkpoint(tmp_path / 'a.ckpt', 'seed 0').save({'step': 3, 'x': torch.arange(4.0)})
    state = Checkpoint(tmp_path / 'a.ckpt', 'seed 0').load()
    assert state['step'] == 3 and state['x'].tolist() == [0, 1, 2, 3]
    assert Checkpoint(tmp_path / 'a.ckpt', 'seed 1').load() is None
    assert Checkpoint(tmp_path / 'b.ckpt', 'seed 0').load() is None


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, full_disk):
    checkpoint = Checkpoint(tmp_path / 'a.ckpt', '')
    checkpoint.save({'step': 1})
    with full_disk(5000), pytest.raises(OSError, match='too large'):
        checkpoint.save({'step': 2, 'x': torch.zeros(10_000)})
    assert checkpoint.load() == {'step': 1}
    assert [path.name for path in tmp_path.iterdir()] == ['a.ckpt']


def test_the_time_since_the_last_progress_belongs_to_the_stage(monkeypatch):
    now = iter([10.0, 11.0, 13.0, 16.0, 20.0])
    monkeypatch.setattr('caldiff_ros.training.time.perf_counter', lambda: next(now))
    told = []
    timed = TimedReport(lambda *progress: told.append(progress))
    for stage, step in (('views', 1), ('views', 2), ('features', 1), ('views', 3)):
        timed(stage, step, 3, {'loss': 0.5})
    assert timed.seconds == {'views': 1 + 2 + 4, 'features': 3}
    assert list(timed.seconds) == ['views', 'features']
    assert told[-1] == ('views', 3, 3, {'loss': 0.5})


@pytest.mark.parametrize(
    ('capabilities', 'wanted', 'expected'),
    [
        ({'avx512_bf16': True}, True, torch.bfloat16),
        ({'amx_bf16': True}, True, torch.bfloat16),
        ({'avx2': True, 'avx512_bf16': False}, True, torch.float32),
        ({'avx512_bf16': True}, False, torch.float32),
    ],
)
def test_bfloat16_only_where_it_is_native_and_wanted(monkeypatch, capabilities, wanted, expected):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: capabilities, raising=False)
    layer = torch.nn.Linear(3, 2)
    with mixed_precision(torch.device('cpu'), wanted):
        out = layer(torch.ones(1, 3))
    assert out.dtype == expected
    assert layer.weight.dtype == torch.float32
