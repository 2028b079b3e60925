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
from caldiff_ros.wording import counted

#: What videos are called; capture itself takes whatever OpenCV can read.
VIDEO_EXTENSIONS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.webm')
#: Widths of the picture; a tripod's video moves by less.
_MIN_MOTION = 0.1
_JPEG_QUALITY = 95
_REPORT_EVERY = 30
#: A damaged stretch is passed in steps of this, in seconds; shorter ones are not reported.
_STEP_OVER_DAMAGE_S = 0.5


@dataclass(frozen=True)
class Survey:
    """What was measured of every frame of a video.

    Attributes:
        frames: numbers (N,) of the frames that can be read.
        moved: how far the picture has moved by then, (N,), in widths.
        sharpness: (N,).
        n_announced: frames that the file says it has.
        rate: frames per second.
    """

    frames: np.ndarray
    moved: np.ndarray
    sharpness: np.ndarray
    n_announced: int
    rate: float

    def damage(self) -> list[tuple[float, float]]:
        """Stretches that cannot be read, from and to in seconds."""
        known = np.array([-1, *self.frames, max(self.n_announced, self.frames[-1] + 1)])
        lost = np.diff(known) - 1 >= _STEP_OVER_DAMAGE_S * self.rate
        starts, ends = known[:-1] + 1, known[1:]
        stretches = np.stack([starts, ends], axis=-1)[lost] / self.rate
        return [(float(start), float(end)) for start, end in stretches]


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

    return Pictures(
        pictures,
        ordered=True,
        unreadable=[
            f'{path.name} is damaged from {start:.1f} to {end:.1f} s'
            for start, end in survey.damage()
        ],
    )


def survey_video(path: Path, report: Report) -> Survey:
    """Measure motion and sharpness of every frame.

    Raises:
        CaldiffError: see `take_frames`.
    """
    rows: list[tuple[int, float, float]] = []
    meter = MotionMeter()
    with _opened(path) as video:
        n_announced = max(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        rate = _rate(video)

        for index in _grabbed(video):
            read, pixels = video.retrieve()
            if not read:
                continue

            gray = reduced(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
            since = index - rows[-1][0] if rows else 0
            rows.append((index, meter(gray, since / rate), sharpness(gray)))
            if len(rows) % _REPORT_EVERY == 0:
                report('video', index + 1, max(n_announced, index + 1), {})

    if len(rows) < 2:
        raise CaldiffError(
            f'{path} has {counted(len(rows), "readable frame")}, expected a video; check the file'
        )

    report('video', rows[-1][0] + 1, rows[-1][0] + 1, {})
    frames, moved, sharp = (np.array(column) for column in zip(*rows, strict=True))
    if moved.max() < _MIN_MOTION:
        raise CaldiffError(
            f'the picture of {path} moves by {moved.max():.0%} of its width in '
            f'{frames[-1] / rate:.0f} s, expected at least {_MIN_MOTION:.0%}; film while walking '
            'through the place'
        )

    return Survey(frames, moved, sharp, n_announced, rate)


def _write_frames(
    path: Path, images: Path, survey: Survey, chosen: np.ndarray, report: Report
) -> list[Picture]:
    pictures: list[Picture] = []
    row_of = {int(survey.frames[row]): int(row) for row in chosen}
    with _opened(path) as video:
        for index in _grabbed(video):
            if index not in row_of:
                continue

            _, pixels = video.retrieve()
            height, width = pixels.shape[:2]
            if not pictures:
                check_space(images, len(chosen) * width * height)

            name = f'frame_{index:06d}.jpg'
            # not cv2.imwrite, which does not report why it could not write
            quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            (images / name).write_bytes(cv2.imencode('.jpg', pixels, quality)[1].tobytes())
            sharp = float(survey.sharpness[row_of[index]])
            seconds = index / survey.rate
            pictures.append(Picture(name, width, height, 'video', sharp, seconds=seconds))
            report('frames', len(pictures), len(chosen), {})

    return pictures


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    # FFmpeg would report every damaged macroblock, besides our one sentence
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


def _rate(video: cv2.VideoCapture) -> float:
    """Frames per second; some files do not state it."""
    rate = video.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate < float('inf') else 30.0


def _grabbed(video: cv2.VideoCapture) -> Iterator[int]:
    """Numbers of the frames, each of which can be retrieved until the next is asked for."""
    index = 0
    end = video.get(cv2.CAP_PROP_FRAME_COUNT)
    step = max(round(_STEP_OVER_DAMAGE_S * _rate(video)), 1)

    while True:
        if video.grab():
            yield index
            index += 1
            continue

        # the end, or a damaged stretch that decoding does not pass by itself
        found = False
        while not found:
            index += step
            if index >= end:
                return
            video.set(cv2.CAP_PROP_POS_FRAMES, index)
            found = round(video.get(cv2.CAP_PROP_POS_FRAMES)) == index
