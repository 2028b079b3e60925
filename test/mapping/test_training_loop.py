# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and the schedule of a training run."""

import pytest
import torch

from caldiff_ros import devices
from caldiff_ros.devices import mixed_precision
from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.context import Checkpoint, TimedReport
from caldiff_ros.mapping.training_loop import PlateauRule, TrainingSchedule


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
    monkeypatch.setattr('caldiff_ros.mapping.context.time.perf_counter', lambda: next(now))
    told = []
    timed = TimedReport(lambda *progress: told.append(progress))
    for stage, step in (('views', 1), ('views', 2), ('features', 1), ('views', 3)):
        timed(stage, step, 3, {'loss': 0.5})
    assert timed.seconds == {'views': 1 + 2 + 4, 'features': 3}
    assert list(timed.seconds) == ['views', 'features']
    assert told[-1] == ('views', 3, 3, {'loss': 0.5})


def followed(schedule: TrainingSchedule, loss) -> list[float]:
    """Learning rate of every step, where ``loss`` tells that of a step."""
    rates = []
    while not schedule.ended:
        rates.append(schedule.learning_rate)
        schedule.advance(loss(schedule.steps))
    return rates


def test_the_rate_falls_when_the_loss_has_ceased_to():
    """Two windows of 10 at least; then half as many steps again, ever smaller."""
    schedule = TrainingSchedule(PlateauRule(window=10, tolerance=0.05, decay=0.5), 1000)
    rates = followed(schedule, lambda step: 1.0)
    assert rates[:20] == [1.0] * 20
    assert rates[20:] == pytest.approx([1 - i / 10 for i in range(10)])
    assert schedule.expected == 30


def test_a_course_goes_on_while_the_loss_falls_and_ends_in_time():
    """A fall of 10 % in 10 steps is enough, one of 4 % is not; 90 of 90 steps at most."""
    convergence = PlateauRule(window=10, tolerance=0.05, decay=0.5)
    falls = followed(TrainingSchedule(convergence, 90), lambda step: 0.9 ** (step / 10))
    assert len(falls) == 90
    assert [rate < 1 for rate in falls].count(True) == 29  # from step 60 on, the first one at 1
    hardly = followed(TrainingSchedule(convergence, 90), lambda step: 0.96 ** (step / 10))
    assert len(hardly) == 30


@pytest.mark.parametrize(
    'wrong', [{'window': 0}, {'tolerance': 1.0}, {'tolerance': -0.1}, {'decay': 0.0}]
)
def test_impossible_convergence_is_explained(wrong):
    with pytest.raises(CaldiffError, match='convergence is window'):
        PlateauRule(**wrong)


def test_without_convergence_a_course_is_as_long_as_was_said():
    assert followed(TrainingSchedule(None, 7), lambda step: 1.0) == [1.0] * 7


def test_a_course_goes_on_where_it_was_stopped():
    def loss(step: int) -> float:
        return 1 + 0.1 * (step % 3)

    convergence = PlateauRule(window=10, tolerance=0.05, decay=0.5)
    whole = followed(TrainingSchedule(convergence, 300), loss)
    for stop in (5, 15, 25):
        schedule = TrainingSchedule(convergence, 300)
        before = []
        for _ in range(stop):
            before.append(schedule.learning_rate)
            schedule.advance(loss(schedule.steps))
        resumed = TrainingSchedule(convergence, 300)
        resumed.restore(schedule.state())
        assert before + followed(resumed, loss) == whole


@pytest.mark.parametrize(
    ('capabilities', 'seconds', 'wanted', 'expected'),
    [
        ({'avx512_bf16': True}, 0.5, True, torch.bfloat16),
        ({'amx_bf16': True}, 0.5, True, torch.bfloat16),
        ({'avx512_bf16': True}, 1.5, True, torch.float32),
        ({'avx2': True, 'avx512_bf16': False}, 0.5, True, torch.float32),
        ({'avx512_bf16': True}, 0.5, False, torch.float32),
    ],
)
def test_bfloat16_only_where_it_is_native_faster_and_wanted(
    monkeypatch, capabilities, seconds, wanted, expected
):
    def seconds_of_product(dtype):
        return seconds if dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: capabilities, raising=False)
    monkeypatch.setattr(devices, '_seconds_of_product', seconds_of_product)
    uncached = devices._multiplies_faster.__wrapped__
    monkeypatch.setattr(devices, '_multiplies_faster', uncached)
    layer = torch.nn.Linear(3, 2)
    with mixed_precision(torch.device('cpu'), wanted):
        out = layer(torch.ones(1, 3))
    assert out.dtype == expected
    assert layer.weight.dtype == torch.float32
