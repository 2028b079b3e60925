# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import threading

import pytest

from caldiff_ros.localization.answer import Cancelled
from caldiff_ros.ros.localization_queue import LocalizationQueue, Request


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
    return Request(loaded_map=None, session=None, requested_s=0.0, explicit=explicit)


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def queue(worker):
    queue = LocalizationQueue(worker, worker.wake)
    yield queue
    queue.close()


def test_explicit_request_is_refused_while_another_runs(queue, worker):
    first, second = request(), request()
    assert queue.submit(first)
    assert not queue.submit(second) and not queue.submit(request(explicit=False))
    worker.release.set()
    assert first.outcome.result(5) == 'done'
    assert queue.submit(second) and second.outcome.result(5) == 'done'


def test_explicit_request_pre_empts_what_nobody_asked_for(queue, worker):
    running, urgent = request(explicit=False), request()
    assert queue.submit(running)
    assert queue.submit(urgent)
    assert running.outcome.result(5) == 'preempted by a request'
    worker.release.set()
    assert urgent.outcome.result(5) == 'done'
    assert worker.begun == [running, urgent] and worker.woken == 1


def test_what_nobody_asked_for_pre_empts_nothing(queue):
    assert queue.submit(request(explicit=False))
    assert not queue.submit(request(explicit=False))


def test_the_next_may_come_once_the_answer_is_known(queue):
    first = request()
    queue.submit(first)
    first.answered = True  # its picture is still being drawn
    assert queue.submit(request())
    first.cancel('')
    queue.cancel(first, 'over')


def test_first_reason_of_a_cancellation_counts(queue):
    running = request()
    queue.submit(running)
    queue.cancel(running, 'first')
    queue.stop('second')
    assert running.outcome.result(5) == 'first'


def test_closing_ends_what_runs(worker):
    queue, running = LocalizationQueue(worker, worker.wake), request()
    queue.submit(running)
    queue.close()
    assert running.outcome.result(0) == 'the node is shutting down'


def test_background_task_is_replaced_by_the_next(queue):
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
    queue.run_in_background(endless)
    assert begun.wait(5)
    queue.run_in_background(lambda cancel: second.set())
    assert second.wait(5) and ended == ['first']
