# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import threading

import pytest

from caldiff_ros.localization.answer import Cancelled
from caldiff_ros.ros.desk import Desk, Request


class Worker:
    """Works until it is released or the request cancelled."""

    def __init__(self) -> None:
        self.begun, self.release, self.woken = [], threading.Event(), 0

    def __call__(self, request: Request) -> None:
        self.begun.append(request)
        while not self.release.wait(0.01) and request.cancel_reason == '':
            pass
        request.answered = True
        request.outcome.set_result(request.cancel_reason or 'done')

    def wake(self) -> None:
        self.woken += 1


def request(explicit: bool = True) -> Request:
    return Request(engine=None, requested_s=0.0, explicit=explicit)


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def desk(worker):
    desk = Desk(worker, worker.wake)
    yield desk
    desk.close()


def test_explicit_request_is_refused_while_another_runs(desk, worker):
    first, second = request(), request()
    assert desk.submit(first)
    assert not desk.submit(second) and not desk.submit(request(explicit=False))
    worker.release.set()
    assert first.outcome.result(5) == 'done'
    assert desk.submit(second) and second.outcome.result(5) == 'done'


def test_explicit_request_pre_empts_what_nobody_asked_for(desk, worker):
    running, urgent = request(explicit=False), request()
    assert desk.submit(running)
    assert desk.submit(urgent)
    assert running.outcome.result(5) == 'a request was more urgent'
    worker.release.set()
    assert urgent.outcome.result(5) == 'done'
    assert worker.begun == [running, urgent] and worker.woken == 1


def test_what_nobody_asked_for_pre_empts_nothing(desk):
    assert desk.submit(request(explicit=False))
    assert not desk.submit(request(explicit=False))


def test_the_next_may_come_once_the_answer_is_known(desk):
    first = request()
    desk.submit(first)
    first.answered = True  # its picture is still being drawn
    assert desk.submit(request())
    first.cancel('')
    desk.cancel(first, 'over')


def test_first_reason_of_a_cancellation_counts(desk):
    running = request()
    desk.submit(running)
    desk.cancel(running, 'first')
    desk.stop('second')
    assert running.outcome.result(5) == 'first'


def test_closing_ends_what_runs(worker):
    desk, running = Desk(worker, worker.wake), request()
    desk.submit(running)
    desk.close()
    assert running.outcome.result(0) == 'the node was asked to end'


def test_background_task_is_replaced_by_the_next(desk):
    ended = []
    begun = threading.Event()

    def endless(cancel):
        begun.set()
        try:
            while True:
                cancel.raise_if_cancelled()
        except Cancelled:
            ended.append('first')

    second = threading.Event()
    desk.run_in_background(endless)
    assert begun.wait(5)
    desk.run_in_background(lambda cancel: second.set())
    assert second.wait(5) and ended == ['first']
