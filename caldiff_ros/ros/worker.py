# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One localization from image message to answer, in the worker's thread."""

from __future__ import annotations

import time
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
from caldiff_ros.localization.prior import Prior
from caldiff_ros.ros.conversions.answers import log_line
from caldiff_ros.ros.conversions.camera_info import camera_from_info, camera_of_map
from caldiff_ros.ros.conversions.images import image_to_rgb
from caldiff_ros.ros.diagnostics import Statistics
from caldiff_ros.ros.latest_messages import LatestMessages
from caldiff_ros.ros.localization_queue import Outcome, Request
from caldiff_ros.ros.outputs import AnswerOutput, ParticleOutput
from caldiff_ros.ros.priors import save_pose
from caldiff_ros.ros.problems import describe_exception
from caldiff_ros.ros.tf import TransformOutput


@dataclass(frozen=True)
class _View:
    """An image in colours (H, W, 3) uint8, its camera, and the name of the camera's frame."""

    rgb: np.ndarray
    camera: Camera
    frame: str


class LocalizationWorker:
    """Carries out requests, see `LocalizationQueue`.

    Args:
        node: for its clock and log.
        latest: where images and camera_info arrive.
        tf: sends the transform.
        statistics: counts the answers.

    Attributes:
        particles, answers: where they are published; set when the node is configured.
        prior: guess for the next localization that has none of its own, or None.
        start_pending: whether no image was localized since the activation.
    """

    particles: ParticleOutput
    answers: AnswerOutput

    def __init__(
        self, node: Node, latest: LatestMessages, tf: TransformOutput, statistics: Statistics
    ) -> None:
        self._clock, self._log = node.get_clock(), node.get_logger()
        self._latest, self._tf, self._statistics = latest, tf, statistics
        self._complaints: dict[str, str] = {}
        self.prior: Prior | None = None
        self.start_pending = False

    def __call__(self, request: Request) -> None:
        """Localize an image, publish what came out, and set the outcome of the request."""
        header = Header(frame_id=request.loaded_map.frame, stamp=self._clock.now().to_msg())
        view = None
        try:
            start_s = time.monotonic()
            image = self._image(request)
            waited_s = time.monotonic() - start_s
            header.stamp = image.header.stamp
            view = self._view(request, image)
            answer = self._localize(request, view, header)
            answer = replace(answer, timings={'image': waited_s, **answer.timings})
            request.cancel_token.raise_if_cancelled()  # also if it came too late to stop it
        except Cancelled:  # whoever cancelled it knows, so nothing is published
            self._end(request, Answer(Status.FAILED, request.cancel_reason), header)
            return
        except CaldiffError as error:
            answer = Answer(Status.FAILED, str(error))
        except Exception as error:  # the node goes on, whatever a driver or the GPU did
            answer = Answer(Status.FAILED, f'localization failed: {describe_exception(error)}')
        request.answered = True  # whoever sees the answer may ask for the next one at once
        try:
            self.answers.publish(answer, header)
        finally:
            self._end(request, answer, header)
        self._record(answer, header)
        if answer.T_map_cam is not None:
            self._follow_up(request, answer, view, header)

    def _image(self, request: Request) -> Image | CompressedImage:
        timeout_s = request.loaded_map.parameters.image_timeout
        return self._latest.image_for(request.requested_s, timeout_s, request.cancel_token)

    def _view(self, request: Request, image: Image | CompressedImage) -> _View:
        parameters, rgb = request.loaded_map.parameters, image_to_rgb(image)
        frame = parameters.camera_frame or image.header.frame_id
        if parameters.use_map_camera and not self._latest.has_info:
            height, width = rgb.shape[:2]
            return _View(rgb, camera_of_map(request.loaded_map.map.camera, width, height), frame)
        info = self._latest.info_for(
            request.requested_s, parameters.image_timeout, request.cancel_token
        )
        return _View(rgb, camera_from_info(info, rectified=parameters.rectified), frame)

    def _localize(self, request: Request, view: _View, header: Header) -> Answer:
        self.particles.begin(header, request.loaded_map)
        prior = request.prior or self.prior

        def show(particles: Particles) -> None:
            self.particles.show(particles)
            if request.observer is not None:
                request.observer(particles)

        answer = request.loaded_map.localizer.localize(
            view.rgb, view.camera, observer=show, cancel=request.cancel_token, prior=prior
        )
        if self.prior is prior:  # and no newer one came meanwhile
            self.prior = None
        self.start_pending = False
        localized = answer.status is Status.LOCALIZED
        self.particles.end(answer.T_map_cam if localized else None)
        return answer

    def _end(self, request: Request, answer: Answer, header: Header) -> None:
        request.answered = True
        request.outcome.set_result(Outcome(answer, header))

    def _record(self, answer: Answer, header: Header) -> None:
        self._statistics.record(answer)
        failed = answer.status is Status.FAILED
        self._complain('answer', answer.message if failed else '')
        if answer.status is Status.LOCALIZED:
            self._log.info(log_line(answer, header))
        elif not failed:
            self._log.warning(log_line(answer, header))

    def _follow_up(self, request: Request, answer: Answer, view: _View, header: Header) -> None:
        """What nobody waits for; the answer is out already and stays true."""
        parameters = request.loaded_map.parameters
        if answer.status is Status.LOCALIZED:
            self._send_transform(request, answer, view, header)
            if parameters.saved_pose_path:
                self._save(request, answer)
        if parameters.publish_overlay:
            self._draw(request, answer, view, header)

    def _send_transform(
        self, request: Request, answer: Answer, view: _View, header: Header
    ) -> None:
        problem = ''
        try:
            self._tf.publish(answer.T_map_cam, header, view.frame, request.loaded_map.parameters)
        except CaldiffError as error:
            problem = str(error)
        except Exception as error:  # such as a stamp that is no time
            problem = f'no TF is published: {describe_exception(error)}'
        self._complain('transform', problem)

    def _save(self, request: Request, answer: Answer) -> None:
        path, problem = Path(request.loaded_map.parameters.saved_pose_path).expanduser(), ''
        try:
            save_pose(path, answer, request.loaded_map.map)
        except OSError as error:
            problem = (
                f'the pose cannot be saved in {path} ({error.strerror}), expected a file that can '
                'be written; set saved_pose_path'
            )
        self._complain('saved pose', problem)

    def _draw(self, request: Request, answer: Answer, view: _View, header: Header) -> None:
        x, y, z = answer.T_map_cam[:3, 3]
        text = (
            f'{answer.status.name}  confidence {answer.confidence:.2f}  error '
            f'{answer.photometric_error:.4f}  at ({x:.3f}, {y:.3f}, {z:.3f})  '
            f'{answer.seconds:.1f} s'
        )
        problem = ''
        try:
            query, _ = request.loaded_map.map.view(view.rgb, view.camera)
            render = request.loaded_map.map.render(answer.T_map_cam)
            self.answers.publish_overlay(draw_overlay(query, render, text), header)
        except Exception as error:  # a picture is no reason to end
            problem = f'no overlay: {describe_exception(error)}'
        self._complain('overlay', problem)

    def _complain(self, about: str, problem: str) -> None:
        """Log a problem with something, once while it lasts; empty for none."""
        if problem and problem != self._complaints.get(about):
            self._log.error(problem)
        self._complaints[about] = problem
