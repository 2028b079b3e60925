# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The localizer node: images in, poses out; the work is done by `caldiff_ros.localization`."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rclpy.task
import torch
from ament_index_python import get_package_share_directory
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.localization import LocalizationMap, Localizer
from caldiff_ros.localization.answer import Answer, Cancelled, CancelToken, Status
from caldiff_ros.localization.overlay import draw_overlay
from caldiff_ros.ros.camera_info import camera_from_info, camera_of_map
from caldiff_ros.ros.images import image_to_rgb
from caldiff_ros.ros.inbox import Inbox
from caldiff_ros.ros.outputs import AnswerOutput, ParticleOutput
from caldiff_ros.ros.parameters import declare_parameters

#: The map that ships with the package, below its share folder.
SHIPPED_MAP = 'maps/diorama_room'
#: Length of a frustum as a fraction of the extent of the training cameras.
FRUSTUM_FRACTION = 0.06
#: Pause before the start is tried again after an image that could not be used.
RETRY_S = 1.0


class LocalizerNode(Node):
    """Localizes at start and on `relocalize`.

    The executor's thread only keeps messages and sends answers; one worker thread computes and
    publishes. Callbacks never block, so one thread is enough for the executor, and better: rclpy's
    `MultiThreadedExecutor` queues callbacks again and again while they wait for the interpreter
    lock, and a localization of 2 s then takes up to 40 s on 2 cores.

    Raises:
        CaldiffError: if the map or a parameter cannot be used.
    """

    def __init__(self) -> None:
        super().__init__('localizer')
        self._parameters = declare_parameters(self)
        self._load_map()
        self._inbox = Inbox()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix='localize')
        self._work: Future | None = None
        self._submission = threading.Lock()
        self._answered = False  # whether the answer of the current work is out already
        self._cancel = CancelToken()
        self._start_pending = self._parameters.localize_on_start
        self._start_not_before_s = 0.0
        self._complaint = ''
        self._init_outputs()
        self._init_inputs()

    def close(self) -> None:
        """Stop a running localization and wait for its thread."""
        self._cancel.cancel()
        self._inbox.close()
        self._worker.shutdown(wait=True)

    def _load_map(self) -> None:
        parameters = self._parameters
        if parameters.torch_threads:
            torch.set_num_threads(parameters.torch_threads)
        path = parameters.map or Path(get_package_share_directory('caldiff_ros')) / SHIPPED_MAP
        self._map = LocalizationMap.load(Path(path).expanduser())
        self._localizer = Localizer(
            self._map, preset=parameters.preset, device=parameters.device, seed=parameters.seed
        )
        self._map_frame = parameters.map_frame or self._map.frame_id
        self.get_logger().info(f'map {self._map.name} loaded from {path}')

    def _init_outputs(self) -> None:
        parameters = self._parameters
        size = parameters.marker_size or FRUSTUM_FRACTION * self._map.unit
        self._particles = ParticleOutput(self, self._map.camera, size)
        self._answers = AnswerOutput(self, parameters.publish_tf, parameters.camera_frame)

    def _init_inputs(self) -> None:
        group = ReentrantCallbackGroup()
        images, infos = (
            self.create_subscription(
                kind, topic, callback, qos_profile_sensor_data, callback_group=group
            )
            for kind, topic, callback in (
                (Image, 'image', self._on_image),
                (CameraInfo, 'camera_info', self._inbox.put_info),
            )
        )
        self.create_service(Trigger, 'relocalize', self._on_relocalize, callback_group=group)
        self.get_logger().info(
            f'waiting for images on {images.topic_name} and camera_info on {infos.topic_name}'
        )

    # In the executor's thread

    def _on_image(self, message: Image) -> None:
        self._inbox.put_image(message)
        if not self._start_pending or time.monotonic() < self._start_not_before_s:
            return
        if self._inbox.has_info or self._parameters.use_map_camera:
            self._submit(self._localize_first)
        elif self._start_not_before_s == 0:  # give the camera_info of this image time to arrive
            self._start_not_before_s = time.monotonic() + RETRY_S
        else:
            self._complain('images arrive but no camera_info, which the start waits for')

    async def _on_relocalize(
        self, _: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        work = self._submit(self._localize, time.monotonic())
        if work is None:
            response.message = 'a localization is running, ask again when it has ended'
            return response
        answer = await self._end_of(work)
        response.success = answer.status is Status.LOCALIZED
        response.message = answer.message
        return response

    def _end_of(self, work: Future) -> rclpy.task.Future:
        """The result of the worker, for a coroutine in the executor's thread to wait for."""
        executor = self.executor
        ended = rclpy.task.Future(executor=executor)

        def end(work: Future) -> None:
            ended.set_result(work.result())
            executor.wake()  # it looks at waiting coroutines when something happens

        work.add_done_callback(end)
        return ended

    def _submit(self, job, *arguments) -> Future | None:
        """Give a job to the worker; None if it is busy with an answer that is not out yet."""
        with self._submission:
            if self._work is not None and not self._work.done() and not self._answered:
                return None
            self._answered = False
            self._work = self._worker.submit(job, *arguments)
            return self._work

    # In the worker's thread

    def _localize_first(self) -> None:
        """Localize what came first; if it cannot be used, the start is left to a later image."""
        self._localize(float('-inf'))
        self._start_not_before_s = time.monotonic() + RETRY_S

    def _localize(self, requested_s: float) -> Answer:
        """Localize an image received after ``requested_s`` and publish what came out."""
        header = Header(frame_id=self._map_frame, stamp=self.get_clock().now().to_msg())
        try:
            return self._localize_image(requested_s, header)
        except Cancelled:
            return Answer(Status.FAILED, 'the node was asked to end')
        except CaldiffError as error:
            answer = Answer(Status.FAILED, str(error))
        except Exception as error:  # the node goes on, whatever a driver or the GPU did
            reason = ' '.join(str(error).split())
            answer = Answer(Status.FAILED, f'localization failed: {type(error).__name__}: {reason}')
        self._complain(answer.message)
        self._publish_answer(answer, header, '')
        return answer

    def _localize_image(self, requested_s: float, header: Header) -> Answer:
        timeout_s = self._parameters.image_timeout
        image = self._inbox.image_for(requested_s, timeout_s)
        header.stamp = image.header.stamp
        rgb = image_to_rgb(image)
        camera = self._camera(image, requested_s)
        self._particles.begin(header)
        answer = self._localizer.localize(
            rgb, camera, observer=self._particles.show, cancel=self._cancel
        )
        self._start_pending = False
        self._complaint = ''
        localized = answer.status is Status.LOCALIZED
        self._particles.end(answer.T_map_cam if localized else None)
        self._publish_answer(answer, header, image.header.frame_id)
        self.get_logger().info(f'{answer.status.name} in {answer.seconds:.1f} s: {answer.message}')
        if self._parameters.publish_overlay and answer.T_map_cam is not None:
            self._publish_overlay(rgb, camera, answer, header)
        return answer

    def _camera(self, image: Image, requested_s: float) -> Camera:
        if self._parameters.use_map_camera and not self._inbox.has_info:
            return camera_of_map(self._map.camera, image.width, image.height)
        info = self._inbox.info_for(requested_s, self._parameters.image_timeout)
        return camera_from_info(info, rectified=self._parameters.rectified)

    def _publish_answer(self, answer: Answer, header: Header, image_frame: str) -> None:
        with self._submission:  # whoever sees the answer may ask for the next one at once
            self._answered = True
        self._answers.publish(answer, header, image_frame)

    def _publish_overlay(
        self, rgb: np.ndarray, camera: Camera, answer: Answer, header: Header
    ) -> None:
        try:
            query, _ = self._localizer.map.view(rgb, camera)
            render = self._localizer.map.render(answer.T_map_cam)
            text = f'{answer.status.name} {answer.confidence:.2f}, {answer.seconds:.1f} s'
            self._answers.publish_overlay(draw_overlay(query, render, text), header)
        except Exception as error:  # the answer is out already and stays true
            self._complain(f'no overlay: {type(error).__name__}: {error}')

    def _complain(self, sentence: str) -> None:
        """Log a problem, once while it lasts."""
        if sentence != self._complaint:
            self._complaint = sentence
            self.get_logger().error(sentence)
