# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the worker does when parts of it fail, without a network and without a map."""

from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from demo_inputs import good_image, good_info

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.answer import Answer, Cancelled, Status
from caldiff_ros.ros.diagnostics import Statistics
from caldiff_ros.ros.latest_messages import LatestMessages
from caldiff_ros.ros.localization_queue import Request
from caldiff_ros.ros.parameters import LocalizerParameters
from caldiff_ros.ros.worker import LocalizationWorker

FOUND = Answer(Status.LOCALIZED, 'found', np.eye(4), np.eye(6), 0.9, 0.01)


class World:
    """Everything around the worker; its parts do what a test says."""

    def __init__(self) -> None:
        self.errors, self.published, self.sent, self.priors = [], [], [], []
        self.answer, self.tf_error, self.publish_error = FOUND, None, None
        log = SimpleNamespace(
            error=self.errors.append, info=lambda text: None, warning=lambda text: None
        )
        now = SimpleNamespace(to_msg=Time)
        clock = SimpleNamespace(now=lambda: now)
        node = SimpleNamespace(get_clock=lambda: clock, get_logger=lambda: log)
        latest = LatestMessages()
        latest.put_image(good_image())
        latest.put_info(good_info())
        self.statistics = Statistics()
        self.worker = LocalizationWorker(
            node, latest, SimpleNamespace(publish=self._send), self.statistics
        )
        self.worker.particles = SimpleNamespace(
            begin=lambda *_: None, show=lambda *_: None, end=lambda *_: None
        )
        self.worker.answers = SimpleNamespace(publish=self._publish)

    def run(self, prior=None, cancelled='', **parameters) -> Answer:
        settings = LocalizerParameters(publish_overlay=False, **parameters)
        localizer = SimpleNamespace(localize=self._localize)
        loaded_map = SimpleNamespace(
            parameters=settings, frame='map', localizer=localizer, map=SimpleNamespace(name='x')
        )
        self.request = Request(loaded_map, float('-inf'), prior=prior)
        if cancelled:
            self.request.cancel(cancelled)
        self.worker(self.request)
        return self.request.outcome.result(0).answer

    def _localize(self, rgb, camera, observer, cancel, prior):
        self.priors.append(prior)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def _publish(self, answer, header):
        self.published.append(answer)
        if self.publish_error:
            raise self.publish_error

    def _send(self, T_map_cam, header, frame, parameters):
        self.sent.append(frame)
        if self.tf_error:
            raise self.tf_error


@pytest.fixture
def world():
    return World()


def test_answer_is_published_counted_and_sent(world):
    world.worker.start_pending = True
    answer = world.run(camera_frame='eye')
    assert answer.T_map_cam is FOUND.T_map_cam
    assert answer.timings == {'image': pytest.approx(0, abs=0.5)}  # it was there already
    assert world.published == [answer] and world.sent == ['eye']
    assert world.statistics.last.status is Status.LOCALIZED
    assert not world.worker.start_pending


@pytest.mark.parametrize('status', [Status.AMBIGUOUS, Status.NOT_LOCALIZED])
def test_no_transform_without_trust(world, status):
    world.answer = Answer(status, 'who knows', np.eye(4), np.eye(6))
    world.run()
    assert world.published and not world.sent


def test_bad_input_is_a_failure_with_its_sentence_and_leaves_the_start_pending(world):
    world.worker.start_pending = True
    world.answer = CaldiffError('the image is black, expected one with light; open the lens')
    answer = world.run()
    assert (answer.status, answer.message) == (Status.FAILED, str(world.answer))
    assert world.published == [answer]
    assert world.worker.start_pending and not world.sent


def test_unforeseen_error_is_a_failure_in_one_line(world):
    world.answer = RuntimeError('CUDA\nfell over')
    answer = world.run()
    assert answer.status is Status.FAILED
    assert answer.message == 'localization failed: RuntimeError: CUDA fell over'


@pytest.mark.parametrize('answer', [Cancelled(), FOUND], ids=['in time', 'too late to stop it'])
def test_cancelled_request_ends_with_the_reason_and_nothing_is_published(world, answer):
    world.answer = answer
    assert world.run(cancelled='no time').message == 'no time'
    assert not world.published and world.statistics.last is None


def test_request_has_its_answer_even_if_publishing_fails(world):
    world.publish_error = RuntimeError('the context is gone')
    with pytest.raises(RuntimeError):
        world.run()
    assert world.request.outcome.result(0).answer.T_map_cam is FOUND.T_map_cam


def test_missing_transform_is_told_once_while_it_lasts(world):
    world.tf_error = CaldiffError('odom is not known')
    world.run()
    world.run()
    assert world.errors == ['odom is not known']
    world.tf_error = None
    world.run()
    world.tf_error = ValueError('time must not be negative')
    world.run()
    assert world.errors[1:] == ['no TF is published: ValueError: time must not be negative']


def test_prior_serves_one_localization_that_runs(world):
    world.worker.prior = guess = object()
    world.answer = CaldiffError('no light')
    world.run()
    world.answer = FOUND
    world.run()
    world.run()
    assert world.priors == [guess, guess, None]


def test_prior_of_a_request_goes_before_the_one_that_waits(world):
    world.worker.prior = waiting = object()
    own = object()
    world.run(prior=own)
    assert world.priors == [own] and world.worker.prior is waiting


def test_pose_that_cannot_be_saved_is_told(world, tmp_path):
    (tmp_path / 'file').touch()
    world.run(saved_pose_path=str(tmp_path / 'file' / 'pose.json'))
    assert 'the pose cannot be saved' in world.errors[0]
