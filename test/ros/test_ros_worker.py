# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the worker does when parts of it fail, without a network and without a map."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from demo_inputs import changed, good_image, good_info, unread

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.answer import Answer, Cancelled, Particles, Status
from caldiff_ros.ros.conversions.camera_info import camera_from_info
from caldiff_ros.ros.diagnostics import Statistics
from caldiff_ros.ros.latest_messages import LatestMessages
from caldiff_ros.ros.localization_queue import Request
from caldiff_ros.ros.parameters import LocalizerParameters
from caldiff_ros.ros.session import Session
from caldiff_ros.ros.tf import ChildFrame
from caldiff_ros.ros.worker import LocalizationWorker

FOUND = Answer(Status.LOCALIZED, 'found', np.eye(4), np.eye(6), 0.9, 0.01)


class World:
    """Everything around the worker; its parts do what a test says."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.errors, self.published, self.sent, self.priors = [], [], [], []
        self.answer, self.tf_error, self.publish_error = FOUND, None, None
        self.while_it_localizes = lambda: None
        self.show_error = None

        log = SimpleNamespace(
            error=self.errors.append, info=lambda text: None, warning=self.warnings.append
        )
        now = SimpleNamespace(to_msg=Time)
        clock = SimpleNamespace(now=lambda: now)
        node = SimpleNamespace(get_clock=lambda: clock, get_logger=lambda: log)

        self.latest = LatestMessages()
        self.latest.put_image(unread(good_image()))
        self.latest.put_info(unread(good_info()))

        self.statistics = Statistics()
        self.tf = SimpleNamespace(child_frame=self._child_frame, send=self._send)
        self.worker = LocalizationWorker(node, self.latest, self.tf, self.statistics)
        self.session = self.new_session()

    def new_session(self, **details) -> Session:
        particles = SimpleNamespace(begin=lambda *_: None, show=self._show, end=lambda *_: None)
        answers = SimpleNamespace(publish=self._publish)
        return Session(
            particles=particles,
            answers=answers,
            tf=self.tf,
            **{'parameters': LocalizerParameters(), **details},
        )

    def run(self, prior=None, cancelled='', **parameters) -> Answer:
        settings = LocalizerParameters(publish_overlay=False, **parameters)
        self.session.follow(settings)
        localizer = SimpleNamespace(localize=self._localize)
        place = SimpleNamespace(name='x', camera=camera_from_info(good_info()))
        place.view_note = partial(LocalizationMap.view_note, place)
        loaded_map = SimpleNamespace(
            parameters=settings, frame='map', localizer=localizer, map=place
        )
        self.request = Request(
            loaded_map=loaded_map, session=self.session, requested_s=float('-inf'), prior=prior
        )
        if cancelled:
            self.request.cancel(cancelled)
        self.worker(self.request)
        return self.request.outcome.result(0).answer

    @property
    def transform_problem(self) -> str:
        return self.request.outcome.result(0).transform_problem

    def _localize(self, rgb, camera, observer, cancel, prior):
        self.priors.append(prior)
        self.camera = camera
        self.while_it_localizes()
        observer(Particles('answer', 1, 1, np.eye(4)[None]))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def _show(self, particles):
        if self.show_error:
            raise self.show_error

    def _publish(self, answer, header):
        if self.publish_error:
            raise self.publish_error
        self.published.append(answer)

    def _child_frame(self, header, camera, parameters, cancel):
        if self.tf_error:
            raise self.tf_error
        return ChildFrame(camera, np.eye(4))

    def _send(self, transform):
        self.sent.append(transform.child_frame_id)


@pytest.fixture
def world():
    return World()


def test_answer_is_published_counted_and_sent(world):
    answer = world.run(camera_frame='eye')
    assert answer.T_map_cam is FOUND.T_map_cam
    assert answer.timings == {'image': pytest.approx(0, abs=0.5)}  # it was there already
    assert world.published == [answer] and world.sent == ['eye']
    assert world.statistics.last.status is Status.LOCALIZED
    assert not world.session.start_pending


def test_camera_info_of_another_resolution_is_scaled_and_told_once(world):
    full = good_info()
    full.width, full.height = 2 * full.width, 2 * full.height
    fx, _, cx, _, fy, cy, *_ = full.k
    # ROS counts from the centre of the first pixel, so c + 0.5 doubles and not c
    full.k = [2 * fx, 0.0, 2 * cx + 0.5, 0.0, 2 * fy, 2 * cy + 0.5, 0.0, 0.0, 1.0]
    world.latest.put_info(unread(full))
    assert world.run().status is Status.LOCALIZED
    assert world.camera == camera_from_info(good_info())
    world.run()
    [warning] = world.warnings
    assert 'camera_info is for 640x480 pixels but the image has 320x240' in warning


def test_a_wider_lens_than_that_of_the_map_is_told_once(world):
    info = good_info()
    fx, _, cx, _, fy, cy, *_ = info.k
    info.k = [fx / 3, 0.0, cx, 0.0, fy / 3, cy, 0.0, 0.0, 1.0]
    world.latest.put_info(unread(info))
    assert world.run().status is Status.LOCALIZED
    world.run()
    [warning] = world.warnings
    assert 'of each image is not used; build the map for this camera' in warning


def test_camera_info_of_another_aspect_is_refused(world):
    world.latest.put_info(unread(changed(good_info(), height=180)))
    answer = world.run()
    assert answer.status is Status.FAILED
    assert 'the image is 320x240 pixels but the camera of camera_info is 320x180' in answer.message


def test_camera_info_of_another_frame_is_used_and_told(world):
    image, info = good_image(), good_info()
    image.header.frame_id, info.header.frame_id = '/left', 'right'
    world.latest.put_image(unread(image))
    world.latest.put_info(unread(info))
    assert world.run().status is Status.LOCALIZED
    [warning] = world.warnings
    assert "camera_info has the frame 'right' but the image 'left'" in warning
    info.header.frame_id = 'left'
    world.latest.put_info(unread(info))
    world.run()
    assert len(world.warnings) == 1


def test_encoding_without_a_meaning_is_used_and_told_once(world):
    world.latest.put_image(unread(changed(good_image(), encoding='8UC3')))
    assert world.run().status is Status.LOCALIZED
    world.run()
    [warning] = world.warnings
    assert 'encoding 8UC3' in warning and 'assuming bgr8' in warning


@pytest.mark.parametrize('status', [Status.AMBIGUOUS, Status.NOT_LOCALIZED])
def test_no_transform_without_trust(world, status):
    world.answer = Answer(status, 'who knows', np.eye(4), np.eye(6))
    world.run()
    assert world.published and not world.sent


def test_bad_input_is_a_failure_with_its_sentence_and_leaves_the_start_pending(world):
    world.answer = CaldiffError('the image is black, expected one with light; open the lens')
    answer = world.run()
    assert (answer.status, answer.message) == (Status.FAILED, str(world.answer))
    assert world.published == [answer]
    assert world.session.start_pending and not world.sent


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
    answer = world.run()
    assert answer.T_map_cam is FOUND.T_map_cam
    assert world.errors == ['the answer cannot be published: RuntimeError: the context is gone']
    assert world.statistics.values()['count unpublished'] == '1'

    world.run()
    assert len(world.errors) == 1  # once while it lasts
    assert world.statistics.values()['count unpublished'] == '2'


def test_particles_that_cannot_be_published_do_not_end_the_localization(world):
    world.show_error = RuntimeError('no memory')
    assert world.run().status is Status.LOCALIZED
    assert 'the particles cannot be published: RuntimeError: no memory' in world.errors
    assert world.statistics.values()['count unpublished'] == '1'


def test_nothing_of_a_closed_session_goes_out(world):
    world.while_it_localizes = lambda: world.session.close('the map was changed')
    answer = world.run()
    assert (answer.status, answer.message) == (Status.FAILED, 'the map was changed')
    assert not world.published and not world.sent
    assert world.statistics.last is None


def test_localization_of_an_old_map_leaves_the_state_of_the_new_one_alone(world):
    old = world.session
    guess = object()

    def change_map():
        old.close('the map was changed')
        world.session = world.new_session(prior=guess)

    world.while_it_localizes = change_map
    world.run()
    assert world.session.start_pending and world.session.prior is guess


def test_prior_that_comes_during_a_localization_waits_for_the_next(world):
    first, second = object(), object()
    world.session.prior = first
    world.while_it_localizes = lambda: setattr(world.session, 'prior', second)
    world.run()
    assert world.priors == [first] and world.session.prior is second


def test_transform_between_frames_of_before_is_not_sent(world):
    later = LocalizerParameters(map_frame='world')
    world.while_it_localizes = lambda: world.session.follow(later)
    assert world.run().status is Status.LOCALIZED
    assert not world.sent and 'frames were changed' in world.transform_problem


def test_missing_transform_is_told_once_while_it_lasts(world):
    world.tf_error = CaldiffError('odom is not known')
    world.run()
    assert world.transform_problem == 'odom is not known'
    world.run()
    assert world.errors == ['odom is not known']
    world.tf_error = None
    world.run()
    assert world.transform_problem == ''
    world.tf_error = ValueError('time must not be negative')
    world.run()
    assert world.errors[1:] == ['no TF is published: ValueError: time must not be negative']


def test_prior_serves_one_localization_that_runs(world):
    world.session.prior = guess = object()
    world.answer = CaldiffError('no light')
    world.run()
    world.answer = FOUND
    world.run()
    world.run()
    assert world.priors == [guess, guess, None]


def test_prior_of_a_request_goes_before_the_one_that_waits(world):
    world.session.prior = waiting = object()
    own = object()
    world.run(prior=own)
    assert world.priors == [own] and world.session.prior is waiting


def test_pose_that_cannot_be_saved_is_told(world, tmp_path):
    (tmp_path / 'file').touch()
    world.run(saved_pose_path=str(tmp_path / 'file' / 'pose.json'))
    assert 'the pose cannot be saved' in world.errors[0]
