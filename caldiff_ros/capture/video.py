# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of a video: it is read twice, to measure and to write, and never held in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from caldiff_ros.capture.config import CaptureConfig
from caldiff_ros.capture.motion import MotionMeter, choose_frames
from caldiff_ros.capture.pictures import Picture, Pictures, check_space, reduced, sharpness
from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.context import Report

#: Widths of the picture; a tripod's video moves by less.
_MIN_MOTION = 0.1
_JPEG_QUALITY = 95
_REPORT_EVERY = 30
#: Share of a video that may be missing at its end before it is told: containers round.
_MISSING_END = 0.05


@dataclass(frozen=True)
class Survey:
    """What was measured of every frame of a video.

    Attributes:
        seconds: time (N,).
        moved: how far the picture has moved by then, (N,), in widths.
        sharpness: (N,).
        n_announced: frames that the file says it has.
        rate: frames per second.
    """

    seconds: np.ndarray
    moved: np.ndarray
    sharpness: np.ndarray
    n_announced: int
    rate: float


def take_frames(path: Path, images: Path, config: CaptureConfig, report: Report) -> Pictures:
    """Write the frames of a video that are worth it as JPEG.

    Args:
        path: the video.
        images: folder of the frames.
        config: which frames.
        report: receives the progress of the stages 'video' and 'frames'.

    Raises:
        CaldiffError: if it is no video, or does not move.
    """
    survey = survey_video(path, report)
    chosen = choose_frames(survey.moved, survey.sharpness, config)
    pictures = _write_frames(path, images, survey, chosen=chosen, report=report)

    lost = 1 - len(survey.seconds) / max(survey.n_announced, 1)
    cut = f'{path.name} ends after {survey.seconds[-1]:.1f} s, {lost:.0%} of it is damaged'
    return Pictures(pictures, True, [cut] if lost > _MISSING_END else [])


def survey_video(path: Path, report: Report) -> Survey:
    """Measure motion and sharpness of every frame.

    Raises:
        CaldiffError: see `take_frames`.
    """
    rows = []
    meter = MotionMeter()
    with _opened(path) as video:
        n_announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = video.get(cv2.CAP_PROP_FPS) or 30.0

        for index in _grabbed(video):
            read, pixels = video.retrieve()
            if not read:
                continue
            gray = reduced(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
            rows.append((index / rate, meter(gray, 1 / rate), sharpness(gray)))

            if len(rows) % _REPORT_EVERY == 0:
                report('video', len(rows), max(n_announced, len(rows)), {})

    if len(rows) < 2:
        raise CaldiffError(
            f'{path} has {len(rows)} readable frames, expected a video; check the file'
        )

    report('video', len(rows), len(rows), {})
    seconds, moved, sharp = np.array(rows).T
    if moved.max() < _MIN_MOTION:
        raise CaldiffError(
            f'the picture of {path} moves by {moved.max():.0%} of its width in '
            f'{seconds[-1]:.0f} s, expected at least {_MIN_MOTION:.0%}; film while walking '
            'through the place'
        )

    return Survey(seconds, moved, sharp, n_announced, rate)


def _write_frames(
    path: Path, images: Path, survey: Survey, chosen: np.ndarray, report: Report
) -> list[Picture]:
    pictures: list[Picture] = []
    wanted = set(chosen.tolist())
    with _opened(path) as video:
        for index in _grabbed(video):
            if index not in wanted:
                continue

            _, pixels = video.retrieve()
            height, width = pixels.shape[:2]
            if not pictures:
                check_space(images, len(chosen) * width * height)

            name = f'frame_{index:06d}.jpg'
            # not cv2.imwrite, which does not tell why it could not write
            quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            (images / name).write_bytes(cv2.imencode('.jpg', pixels, quality)[1].tobytes())
            sharp, seconds = float(survey.sharpness[index]), float(survey.seconds[index])
            pictures.append(Picture(name, width, height, 'video', sharp, seconds=seconds))
            report('frames', len(pictures), len(chosen), {})

    return pictures


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    # FFmpeg would tell of every damaged macroblock, beside our one sentence
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise CaldiffError(
                f'{path} cannot be read as a video, expected one such as .mp4 or .mov, or a folder '
                'of photos; check the path and the file'
            )
        yield video
    finally:
        video.release()


def _grabbed(video: cv2.VideoCapture) -> Iterator[int]:
    """Numbers of the frames, each of which can be retrieved until the next is asked for."""
    index = 0
    while video.grab():
        yield index
        index += 1
