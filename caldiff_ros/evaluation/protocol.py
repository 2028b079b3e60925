# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Running a localizer over frames whose pose is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.alterations import Shot, alter
from caldiff_ros.evaluation.metrics import pose_errors, pose_nees
from caldiff_ros.geometry import Camera
from caldiff_ros.localization.answer import Answer, Status
from caldiff_ros.scenes import Frame, read_frame


class LocalizesImages(Protocol):
    """What is judged: the localizer, or a baseline with its interface."""

    def localize(self, image_rgb: np.ndarray, camera: Camera) -> Answer:
        """Pose of the camera that took the image."""


@runtime_checkable
class KnowsTheTruth(Protocol):
    """A bound: what could be reached if a part of the method were perfect."""

    def for_truth(self, T_map_cam: np.ndarray) -> LocalizesImages:
        """The localizer of the image whose true pose (4, 4) is given."""


@dataclass(frozen=True)
class QueryResult:
    """One query and how well it was answered.

    Attributes:
        name: of the frame.
        T_map_cam_true: (4, 4), the pose of the dataset.
        T_map_cam: (4, 4), the answer; None if there is none.
        translation_map: error in map units, infinite without an answer.
        translation_norm: the same in normalized units.
        rotation_deg: error in degrees, infinite without an answer.
        nees: normalized by the answer's covariance, see `pose_nees`.
        status: name of the `Status`.
        message: the answer's explanation of it.
        confidence, photometric_error, timings: as in the answer.
        seconds: wall time of the localization, without reading the image.
        rays: rendered for it.
    """

    name: str
    T_map_cam_true: np.ndarray
    T_map_cam: np.ndarray | None
    translation_map: float
    translation_norm: float
    rotation_deg: float
    nees: float
    status: str
    message: str
    confidence: float
    photometric_error: float
    seconds: float
    timings: dict[str, float] = field(default_factory=dict)
    rays: int = 0


def choose_queries(frames: Sequence[Frame], n: int | None) -> list[Frame]:
    """At most ``n`` of the frames, evenly spread over them; all of them for None."""
    if n is not None and n < 1:
        raise CaldiffError(f'{n} queries were asked for, expected at least 1; omit it for all')
    if n is None or n >= len(frames):
        return list(frames)

    return [frames[i] for i in np.linspace(0, len(frames) - 1, n).round().astype(int)]


def run_queries(
    localizer: LocalizesImages | KnowsTheTruth,
    frames: Sequence[Frame],
    side_map: float,
    background: str = 'white',
    on_query: Callable[[QueryResult], None] | None = None,
    alteration: str | None = None,
) -> list[QueryResult]:
    """Localize every frame and compare with its pose.

    A frame that cannot be localized (an unreadable image, say) is a failure, not an end.

    Args:
        localizer: what is judged.
        frames: the queries; a localizer sees the image file and its intrinsics only, a bound the
            pose as well.
        side_map: map units per normalized unit, the side of the normalization's cube.
        background: of transparent pixels, the one that the map was trained with.
        on_query: called after every query.
        alteration: makes the images hard, see `alter`.
    """
    queries = []
    for frame in frames:
        start = time.perf_counter()
        T_map_cam = frame.T_map_cam

        try:
            shot = Shot(*read_frame(frame, background), T_map_cam)
            if alteration is not None:
                shot = alter(alteration, frame.name, shot)

            start = time.perf_counter()
            T_map_cam = shot.T_map_cam
            judged = (
                localizer.for_truth(T_map_cam)
                if isinstance(localizer, KnowsTheTruth)
                else localizer
            )
            answer = judged.localize(shot.image, shot.camera)
        except CaldiffError as error:
            answer = Answer(Status.FAILED, str(error))

        seconds = time.perf_counter() - start
        queries.append(_judge(frame.name, T_map_cam, answer, side_map=side_map, seconds=seconds))
        if on_query:
            on_query(queries[-1])

    return queries


def _judge(
    name: str, T_map_cam: np.ndarray, answer: Answer, side_map: float, seconds: float
) -> QueryResult:
    translation_map, rotation_deg = pose_errors(T_map_cam, answer.T_map_cam)
    return QueryResult(
        name=name,
        T_map_cam_true=T_map_cam,
        T_map_cam=answer.T_map_cam,
        translation_map=translation_map,
        translation_norm=translation_map / side_map,
        rotation_deg=rotation_deg,
        nees=pose_nees(T_map_cam, answer.T_map_cam, answer.covariance),
        status=answer.status.name,
        message=answer.message,
        confidence=answer.confidence,
        photometric_error=answer.photometric_error,
        seconds=seconds,
        timings=answer.timings,
        rays=answer.rays,
    )
