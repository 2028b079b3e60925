# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle of one process, over DDS; the tests follow each other."""

from diagnostic_msgs.msg import DiagnosticStatus
from node_driver import LocalizerProcess

PARAMETERS = {'autostart': False, 'map': '/nowhere'}


def test_starts_unconfigured_and_answers_why_it_does_not_localize(driver):
    assert driver.state() == 'unconfigured'
    for service in ('relocalize', 'reinitialize_global_localization'):
        answer = driver.relocalize(service)
        assert not answer.success and 'the node is unconfigured, expected active' in answer.message
    handle = driver.send_goal([])
    response = driver.result(handle.get_result_async())
    assert response.status == 6  # aborted
    assert 'the node is unconfigured' in response.result.localization.message
    status, values = driver.status('localization')
    assert status.level == DiagnosticStatus.STALE and values['lifecycle state'] == 'unconfigured'


def test_configure_without_a_map_fails_and_stays_where_it_was(driver, localizer):
    assert not driver.change_state('configure')
    assert driver.state() == 'unconfigured'
    assert '/nowhere holds no map.yaml' in localizer.log


def test_configure_loads_the_map(driver, tiny_map):
    [result] = driver.set(map=str(tiny_map))
    assert result.successful
    assert driver.change_state('configure')
    assert driver.state() == 'inactive'
    assert driver.status('localization')[1]['map'] == 'tiny'
    assert 'the node is inactive' in driver.relocalize().message


def test_activate_localizes_and_shows_the_map(driver):
    assert driver.change_state('activate')
    assert driver.state() == 'active'
    assert driver.relocalize().success
    topics = ('pose', 'map_cameras', 'map_points')
    driver.wait(lambda: all(driver.received[topic] for topic in topics))
    assert len(driver.received['map_cameras'][0].markers[1].points) == 6 * 16
    assert driver.received['map_points'][0].width <= 500
    assert driver.status('localization')[0].level == DiagnosticStatus.OK


def test_deactivate_stops_what_runs(driver):
    assert driver.set(preset='paper', particles=2000)[1].successful
    handle = driver.send_goal(feedback := [])
    driver.wait(lambda: feedback)
    driver.forget()
    assert driver.change_state('deactivate')
    response = driver.result(handle.get_result_async())
    assert response.status == 6
    assert response.result.localization.message == 'the node was deactivated'
    assert driver.state() == 'inactive'
    assert not driver.received['localization'] and not driver.received['pose']
    assert driver.set(preset='fast', particles=4)[1].successful


def test_second_life(driver):
    assert driver.change_state('activate')
    assert driver.relocalize().success
    assert driver.change_state('deactivate') and driver.change_state('cleanup')
    assert driver.state() == 'unconfigured'
    assert 'map' not in driver.status('localization')[1]
    assert driver.change_state('configure') and driver.change_state('activate')
    assert driver.relocalize().success


def test_transition_that_is_not_there_changes_nothing(driver):
    assert not driver.change_state('configure')
    assert driver.state() == 'active'


def test_shutdown_is_final_and_the_process_ends_well(driver, localizer):
    assert driver.change_state('active_shutdown')
    assert driver.state() == 'finalized'
    assert 'the node is finalized, expected active' in driver.relocalize().message
    assert localizer.end() == 0, localizer.log
    assert 'Traceback' not in localizer.log


def test_starts_that_cannot_succeed_end_with_a_sentence():
    sentences = {
        '/nowhere holds no map.yaml': {'map': '/nowhere'},
        "preset is 'swift', expected one of": {'preset': 'swift'},
        'seed': {'seed': -1},
    }
    begun = [
        (sentence, LocalizerProcess('/ending', **parameters))
        for sentence, parameters in sentences.items()
    ]
    for sentence, process in begun:
        assert process.wait(60) == 1, sentence
        assert sentence in process.log and 'Traceback' not in process.log
