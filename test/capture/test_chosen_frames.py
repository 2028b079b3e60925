# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which frames of a video are taken; nothing of this needs COLMAP."""

import cv2
import numpy as np
import pytest
from room_corner import write_video

from caldiff_ros.capture.config import CaptureConfig
from caldiff_ros.capture.motion import MotionMeter, choose_frames
from caldiff_ros.capture.pictures import check_space, sharpness
from caldiff_ros.capture.video import survey_video, take_frames
from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.context import no_report


@pytest.fixture(scope='module')
def wall():
    """A picture twice as wide as what is seen of it."""
    noise = np.random.default_rng(0).uniform(0, 255, (30, 80))
    return (
        cv2.resize(noise, (640, 240), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    )


def seen(wall, left):
    return wall[:, left : left + 320]


def as_rgb(gray):
    return np.repeat(gray[..., None], 3, axis=2)


def test_motion_is_measured_in_widths(wall):
    meter = MotionMeter()
    moved = [meter(seen(wall, 4 * i), 1 / 30) for i in range(60)]
    assert moved[0] == 0
    assert moved[-1] == pytest.approx(59 * 4 / 320, rel=0.05)


def test_a_noisy_camera_at_rest_does_not_move(wall):
    rng = np.random.default_rng(1)
    meter = MotionMeter()
    noisy = (seen(wall, 0) + rng.normal(0, 8, (240, 320)) for _ in range(60))
    moved = [meter(frame.clip(0, 255).astype(np.uint8), 1 / 30) for frame in noisy]
    assert max(moved) < 0.005


def test_frames_are_as_far_apart_as_wanted_and_the_sharpest_of_their_stretch():
    moved = np.linspace(0, 6, 601)  # a hundredth of the width from frame to frame
    sharp = np.ones(601)
    sharp[[33, 47]] = 9, 5
    chosen = choose_frames(moved, sharp, CaptureConfig(frame_distance=0.1, max_frames=1000))
    assert len(chosen) == 60
    assert {33, 47} <= set(chosen)
    assert np.diff(moved[chosen]).max() < 0.2


def test_shaking_gives_no_more_frames_than_walking():
    moved = np.concatenate([np.linspace(0, 1, 101), 1 - 0.2 * np.abs(np.sin(np.arange(500)))])
    chosen = choose_frames(moved, np.ones(601), CaptureConfig(max_frames=50))
    assert len(chosen) <= 50
    assert (chosen > 101).sum() <= 1


def test_there_are_no_more_frames_than_asked_for():
    chosen = choose_frames(np.linspace(0, 100, 500), np.ones(500), CaptureConfig(max_frames=70))
    assert len(chosen) == 70


def test_blur_takes_sharpness_away(wall):
    assert sharpness(cv2.GaussianBlur(wall, None, 5)) < 0.2 * sharpness(wall)


def test_frames_are_written_with_their_times(wall, tmp_path):
    write_video(tmp_path / 'pan.avi', [as_rgb(seen(wall, 4 * i)) for i in range(61)], rate=20)
    taken = take_frames(tmp_path / 'pan.avi', tmp_path, CaptureConfig(max_frames=10), no_report)
    assert taken.ordered and taken.unreadable == []
    assert len(taken.pictures) == 10
    for picture in taken.pictures:
        number = int(picture.name.removeprefix('frame_').removesuffix('.jpg'))
        assert picture.seconds == pytest.approx(number / 20)
        pixels = cv2.imread(str(tmp_path / picture.name), cv2.IMREAD_GRAYSCALE).astype(float)
        assert np.abs(pixels - seen(wall, 4 * number)).mean() < 6


def test_a_video_without_motion_is_refused(wall, tmp_path):
    write_video(tmp_path / 'tripod.avi', [as_rgb(seen(wall, 0))] * 20)
    with pytest.raises(CaldiffError, match='moves by 0% of its width in 1 s'):
        survey_video(tmp_path / 'tripod.avi', no_report)


def test_a_file_that_is_no_video_is_refused(tmp_path):
    (tmp_path / 'notes.mp4').write_text('walk slowly')
    with pytest.raises(CaldiffError, match='cannot be read as a video'):
        survey_video(tmp_path / 'notes.mp4', no_report)


def test_a_cut_video_is_used_up_to_the_cut(wall, tmp_path):
    path = tmp_path / 'cut.avi'
    write_video(path, [as_rgb(seen(wall, 4 * i)) for i in range(60)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    survey = survey_video(path, no_report)
    assert 20 < len(survey.frames) < 40
    [(start, end)] = survey.damage()
    assert start == pytest.approx((survey.frames[-1] + 1) / 30) and end == pytest.approx(2)


def test_a_full_disk_is_noticed_before_the_work(tmp_path):
    with pytest.raises(CaldiffError, match=r'expected at least 1000000000\.0 GB; free some'):
        check_space(tmp_path, 10**18)
