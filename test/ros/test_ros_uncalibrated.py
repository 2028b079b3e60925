# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node with a map that is not calibrated, over DDS."""

from dataclasses import replace

import pytest
from caldiff_ros.msg import Localization
from diagnostic_msgs.msg import DiagnosticStatus
from node_driver import LocalizerProcess

from caldiff_ros.localization import LocalizationMap

REASON = 'only 1 of its held-out images could be aligned with the field'
WARNING = f'the map tiny is not calibrated, so nothing is LOCALIZED with it: {REASON}'


@pytest.fixture(scope='module')
def uncalibrated_map(tiny_map):
    tiny = LocalizationMap.load(tiny_map)
    folder = tiny_map.with_name('uncalibrated')
    measured = {'calibration': {'images': 12, 'aligned': 1, 'psnr_db': 14.9}}
    replace(tiny, calibration=replace(tiny.calibration, n_right=1), provenance=measured).save(
        folder
    )
    return folder


@pytest.fixture(scope='module')
def localizer(uncalibrated_map):
    """Every pose would be trusted, were the map calibrated."""
    process = LocalizerProcess(
        map=uncalibrated_map,
        particles=4,
        min_confidence=0.0,
        ambiguity_ratio=1.0,
        localize_on_start='false',
        map_points=0,
    )
    yield process
    process.end()


def test_configuring_warns_once_and_diagnostics_say_why(driver, localizer):
    status, values = driver.status('localizer: map')
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith(WARNING) and 'rebuild it' in status.message
    assert values['calibrated'] == 'no' and values['why not calibrated'].startswith(REASON)
    assert (values['held-out images'], values['held-out PSNR in dB']) == ('12', '14.9')
    assert localizer.log.count(WARNING) == 1 and '[WARN]' in localizer.log


def test_nothing_is_localized_with_it(driver):
    answer = driver.relocalize()
    assert not answer.success and 'its map is not calibrated' in answer.message
    driver.wait(lambda: driver.received['localization'])
    assert driver.received['localization'][-1].status == Localization.NOT_LOCALIZED
    assert not driver.received['pose'] and not driver.received['pose_with_covariance']
    assert driver.status('localizer: localization')[0].level == DiagnosticStatus.WARN


def test_calibrated_map_is_as_good_as_ever_and_going_back_warns_again(
    driver, localizer, tiny_map, uncalibrated_map
):
    assert driver.set(map=str(tiny_map))[0].successful
    assert driver.status('localizer: map')[0].level == DiagnosticStatus.OK
    assert driver.relocalize().success
    assert driver.set(map=str(uncalibrated_map))[0].successful
    assert driver.status('localizer: map')[0].level == DiagnosticStatus.WARN
    assert localizer.log.count(WARNING) == 2
