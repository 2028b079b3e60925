# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One localization from image message to answer, in the worker's thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.localization.answer import Answer, Cancelled, Particles, Status
from caldiff_ros.localization.overlay import draw_overlay
from caldiff_ros.ros.conversions.answers import log_line
from caldiff_ros.ros.diagnostics import Statistics
from caldiff_ros.ros.latest_messages import LatestMessages
from caldiff_ros.ros.lifecycle import present
from caldiff_ros.ros.localization_queue import Outcome, Request
from caldiff_ros.ros.priors import save_pose
from caldiff_ros.ros.problems import Complaints, describe_exception
from caldiff_ros.ros.query_images import QueryImages
from caldiff_ros.ros.tf import ChildFrame, TransformOutput, transform_of


@dataclass(frozen=True, kw_only=True)
class _View:
    """An image and what is needed to use it.

    Attributes:
        rgb: colours (H, W, 3) uint8.
        camera: that took it.
        child: frame that TF gets; None if it gets none.
        transform_problem: why there is none although it was asked for, or empty.
    """

    rgb: np.ndarray
    camera: Camera
    child: ChildFrame | None
    transform_problem: str


class LocalizationWorker:
    """Carries out requests, see `LocalizationQueue`.

    Args:
        node: for its clock and log.
        latest: where images and camera_info arrive.
        tf: knows where the camera was.
        statistics: counts the answers.
    """

    def __init__(
        self, node: Node, latest: LatestMessages, tf: TransformOutput, statistics: Statistics
    ) -> None:
        self._clock = node.get_clock()
        self._log = node.get_logger()
        self._tf = tf
        self._statistics = statistics
        self._complaints = Complaints(self._log)
        self._images = QueryImages(latest, self._complaints)

    def __call__(self, request: Request) -> None:
        """Localize an image, publish what came out, and set the outcome of the request."""
        header = Header(frame_id=request.loaded_map.frame, stamp=self._clock.now().to_msg())
        view = None
        try:
            start_s = time.monotonic()
            image = self._images.wait(request)
            header.stamp = image.header.stamp
            child, transform_problem = self._child_frame(request, image, header)
            waited_s = time.monotonic() - start_s

            rgb, camera = self._images.read(request, image)
            view = _View(rgb=rgb, camera=camera, child=child, transform_problem=transform_problem)

            answer = self._localize(request, view, header)
            answer = replace(answer, timings={'image': waited_s, **answer.timings})
            request.cancel_token.raise_if_cancelled()  # also if it came too late to stop it
        except Cancelled:  # the caller that cancelled it knows, so nothing is published
            self._give_up(request, header)
            return
        except CaldiffError as error:
            answer = Answer(Status.FAILED, str(error))
        except Exception as error:  # the node goes on, whatever a driver or the GPU did
            answer = Answer(Status.FAILED, f'localization failed: {describe_exception(error)}')

        request.answered = True  # a client that sees the answer may request the next one at once
        try:
            answers = request.session.answers
            self._publish(request, 'the answer', lambda: answers.publish(answer, header))
        except Cancelled:
            self._give_up(request, header)
            return

        transform_problem = ''
        if answer.status is Status.LOCALIZED and view is not None:
            transform_problem = self._send_transform(request, answer, view, header=header)

        self._end(request, Outcome(answer, header, transform_problem))
        self._record(answer, header)
        if answer.T_map_cam is not None and view is not None:
            self._follow_up(request, answer, view, header=header)

    def _child_frame(
        self, request: Request, image: Image | CompressedImage, header: Header
    ) -> tuple[ChildFrame | None, str]:
        """What TF needs later, or why it is not known."""
        parameters = request.loaded_map.parameters
        camera = parameters.camera_frame or image.header.frame_id
        try:
            child = self._tf.child_frame(header, camera, parameters, cancel=request.cancel_token)
        except Cancelled:
            raise
        except CaldiffError as error:
            return None, str(error)
        except Exception as error:  # such as a stamp that is no time
            return None, f'no TF is published: {describe_exception(error)}'

        return child, ''

    def _localize(self, request: Request, view: _View, header: Header) -> Answer:
        session = request.session
        session.particles.begin(header, request.loaded_map)
        prior = request.prior or session.prior

        def show(particles: Particles) -> None:
            self._publish(request, 'the particles', lambda: session.particles.show(particles))
            observer = request.observer
            if observer is not None:
                self._publish(request, 'the progress', lambda: observer(particles))

        answer = request.loaded_map.localizer.localize(
            view.rgb, view.camera, observer=show, cancel=request.cancel_token, prior=prior
        )

        session.end_search(prior)
        T_map_cam = answer.T_map_cam if answer.status is Status.LOCALIZED else None
        self._publish(request, 'the particles', lambda: session.particles.end(T_map_cam))
        return answer

    def _publish(self, request: Request, what: str, send: Callable[[], None]) -> None:
        """Send something as long as its session lasts.

        A failure to send is logged and counted, and the work goes on.

        Raises:
            Cancelled: if the session is over.
        """
        problem = ''
        try:
            request.session.publish(send)
        except Cancelled:
            raise
        except Exception as error:
            problem = f'{what} cannot be published: {describe_exception(error)}'
            self._statistics.record_unpublished()

        self._complaints.error(what, problem)

    def _give_up(self, request: Request, header: Header) -> None:
        reason = request.cancel_reason or request.session.closed_because
        self._end(request, Outcome(Answer(Status.FAILED, reason), header))

    def _end(self, request: Request, outcome: Outcome) -> None:
        request.answered = True
        request.outcome.set_result(outcome)

    def _record(self, answer: Answer, header: Header) -> None:
        self._statistics.record(answer)
        failed = answer.status is Status.FAILED
        self._complaints.error('answer', answer.message if failed else '')

        if answer.status is Status.LOCALIZED:
            self._log.info(log_line(answer, header))
        elif not failed:
            self._log.warning(log_line(answer, header))

    def _follow_up(self, request: Request, answer: Answer, view: _View, header: Header) -> None:
        """What nobody waits for; the answer is out already and stays true."""
        if request.session.closed_because:
            return

        parameters = request.loaded_map.parameters
        if answer.status is Status.LOCALIZED and parameters.saved_pose_path:
            self._save(request, answer)

        if parameters.publish_overlay:
            self._draw(request, answer, view, header=header)

    def _send_transform(self, request: Request, answer: Answer, view: _View, header: Header) -> str:
        """Send the pose to TF; why that was not possible, or empty."""
        parameters = request.loaded_map.parameters
        problem = view.transform_problem
        try:
            if view.child is not None:
                transform = transform_of(
                    present(answer.T_map_cam), view.child, header, parameters=parameters
                )
                request.session.send_transform(transform, parameters)
        except Cancelled:
            return f'no TF is published: {request.session.closed_because}'
        except CaldiffError as error:
            problem = str(error)
        except Exception as error:
            problem = f'no TF is published: {describe_exception(error)}'
            self._statistics.record_unpublished()

        self._complaints.error('transform', problem)
        return problem

    def _save(self, request: Request, answer: Answer) -> None:
        path = Path(request.loaded_map.parameters.saved_pose_path).expanduser()
        problem = ''
        try:
            save_pose(path, answer, request.loaded_map.map)
        except OSError as error:
            problem = (
                f'the pose cannot be saved in {path} ({error.strerror}), expected a file that can '
                'be written; set saved_pose_path'
            )

        self._complaints.error('saved pose', problem)

    def _draw(self, request: Request, answer: Answer, view: _View, header: Header) -> None:
        pose = present(answer.T_map_cam)
        x, y, z = pose[:3, 3]
        text = (
            f'{answer.status.name}  confidence {answer.confidence:.2f}  error '
            f'{answer.photometric_error:.4f}  at ({x:.3f}, {y:.3f}, {z:.3f})  '
            f'{answer.seconds:.1f} s'
        )

        overlay = None
        problem = ''
        try:
            query, _ = request.loaded_map.map.view(view.rgb, view.camera)
            render = request.loaded_map.map.render(pose)
            overlay = draw_overlay(query, render, text)
        except Exception as error:  # a picture is no reason to end
            problem = f'no overlay: {describe_exception(error)}'

        self._complaints.error('overlay', problem)

        if overlay is not None:
            self._publish_overlay(request, overlay, header)

    def _publish_overlay(self, request: Request, overlay: np.ndarray, header: Header) -> None:
        answers = request.session.answers
        try:
            self._publish(request, 'the overlay', lambda: answers.publish_overlay(overlay, header))
        except Cancelled:
            return  # nobody waits for a picture
