# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Header

from caldiff_ros.localization.answer import Answer, Status
from caldiff_ros.ros.diagnostics import CameraState, Statistics, diagnostics, memory_bytes


def statuses(statistics: Statistics, state: str = 'active', problem: str = ''):
    camera = CameraState(problem, {'images per second': '10.0'}) if state == 'active' else None
    return diagnostics(Header(), '/ns/localizer', state, None, statistics, camera).status


def answer(status: Status, seconds: float = 1.0) -> Answer:
    return Answer(status, 'because', np.eye(4), np.eye(6), timings={'diffusion': seconds})


@pytest.mark.parametrize(
    ('status', 'level'),
    [
        (Status.LOCALIZED, DiagnosticStatus.OK),
        (Status.AMBIGUOUS, DiagnosticStatus.WARN),
        (Status.NOT_LOCALIZED, DiagnosticStatus.WARN),
        (Status.FAILED, DiagnosticStatus.ERROR),
    ],
)
def test_level_is_that_of_the_last_answer(status, level):
    statistics = Statistics()
    statistics.record(answer(Status.LOCALIZED))
    statistics.record(answer(status))
    localization, camera, _ = statuses(statistics)
    assert localization.level == level
    assert localization.name == '/ns/localizer: localization'
    assert localization.message == f'{status.name}: because'
    assert camera.level == DiagnosticStatus.OK and camera.name == '/ns/localizer: camera'


def test_counts_and_percentiles():
    statistics = Statistics()
    for seconds in (1.0, 2.0, 3.0):
        statistics.record(answer(Status.LOCALIZED, seconds))
    statistics.record(answer(Status.FAILED, 100.0))  # its time says nothing
    values = {pair.key: pair.value for pair in statuses(statistics)[0].values}
    assert (values['count LOCALIZED'], values['count FAILED']) == ('3', '1')
    assert values['seconds, 50 %'] == '2.000' and values['seconds, 90 %'] == '2.800'
    assert values['last status'] == 'FAILED' and float(values['age of last in s']) < 1


def test_what_is_not_known_is_stale():
    assert [s.level for s in statuses(Statistics(), 'inactive')] == [DiagnosticStatus.STALE] * 3
    assert statuses(Statistics())[0].level == DiagnosticStatus.STALE
    assert statuses(Statistics())[0].message == 'nothing has been localized yet'


def test_missing_images_are_a_warning():
    camera = statuses(Statistics(), problem='no image arrived')[1]
    assert (camera.level, camera.message) == (DiagnosticStatus.WARN, 'no image arrived')
    assert [(pair.key, pair.value) for pair in camera.values] == [('images per second', '10.0')]


def test_without_a_map_its_status_is_stale():
    status = statuses(Statistics())[2]
    assert (status.level, status.message) == (DiagnosticStatus.STALE, 'no map is loaded')
    assert status.name == '/ns/localizer: map' and not status.values


def test_memory_is_that_of_a_process_with_torch():
    assert 5e7 < memory_bytes() < 1e11
