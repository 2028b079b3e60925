# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a capture can become a map: its poses, intrinsics and images against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from caldiff_ros.scenes.checking.frames import blurred, duplicates, frame_poses
from caldiff_ros.scenes.checking.images import CheckedImage, checked_images
from caldiff_ros.scenes.checking.intrinsics import focal_length, other_sizes
from caldiff_ros.scenes.checking.pairs import ImagePair, matched_pairs
from caldiff_ros.scenes.checking.places import depth_scale, far_off, origin, translation
from caldiff_ros.scenes.checking.readings import Reading, Readings, judged_readings, reread
from caldiff_ros.scenes.checking.report import CaptureReport, Finding
from caldiff_ros.scenes.conventions import Convention
from caldiff_ros.scenes.scene import Frame, Scene
from caldiff_ros.wording import counted

#: 'auto' reads poses as the images say where these are clear; 'strict' as the format says.
ConventionRule = Literal['auto', 'strict']
#: Images that are checked at most, evenly spread.
_MOST_IMAGES = 200


def check_capture(scene: Scene, convention: ConventionRule = 'auto') -> CaptureReport:
    """Check a dataset.

    Args:
        scene: the dataset.
        convention: what to do about poses that are clearly in another convention than the format
            has: 'auto' reads them so, and 'strict' counts that as a finding.

    Raises:
        CaldiffError: if an image cannot be read.
    """
    sizes, fitting = other_sizes(scene.frames)
    rows = [sizes]

    images = checked_images(_spread(fitting))
    if len(images) < 2:
        return CaptureReport(scene, (*rows, _too_few(scene)))

    # 1. How the poses are to be read
    T_map_cam = np.stack([image.frame.T_map_cam for image in images])
    pairs = matched_pairs(images, T_map_cam)
    readings = judged_readings(pairs, images, T_map_cam, scene.convention)
    rows.append(_pose_convention(scene.convention, readings, convention))

    # 2. What can be said once that is known
    best = readings.best
    if best is not None:
        T_map_cam = reread(T_map_cam, scene.convention, best.convention)
        if convention == 'auto':
            scene = with_convention(scene, best.convention)
        rows += _geometry(images, pairs, T_map_cam, readings, best)

    # 3. What needs no matches
    rows += [duplicates(images, T_map_cam), blurred(images), far_off(scene.frames)]
    rows.append(origin(scene.frames))
    return CaptureReport(scene, tuple(rows))


def with_convention(scene: Scene, convention: Convention) -> Scene:
    """The dataset with its poses read in another convention; unchanged if it is its own."""
    if convention == scene.convention:
        return scene

    frames = [
        replace(frame, T_map_cam=convention.read(scene.convention.write(frame.T_map_cam)))
        for frame in scene.frames
    ]
    return replace(scene, frames=frames, convention=convention)


def _spread(frames: Sequence[Frame]) -> list[Frame]:
    n = min(len(frames), _MOST_IMAGES)
    return [frames[i] for i in np.linspace(0, len(frames) - 1, n).round().astype(int)]


def _too_few(scene: Scene) -> Finding:
    if len(scene.frames) > 1:
        return Finding('images', 'too few to check', 'unknown')

    text = 'only one, but a map needs at least 2, better 15 or more; take more'
    return Finding('images', text, 'finding')


def _pose_convention(declared: Convention, readings: Readings, rule: ConventionRule) -> Finding:
    check = 'pose convention'
    best, n = readings.best, len(readings.pairs)
    if not n:
        return Finding(check, f'too few matches to check; assuming {declared}', 'note')

    percent = 100 * readings.declared.share
    if best is None:
        text = (
            f'the poses do not fit the images in any convention: {percent:.0f} % of the matches of '
            f'{counted(n, "pair")} of images agree; check that images and poses belong together'
        )
        return Finding(check, text, 'finding')

    if readings.is_partial:
        text = (
            f'{best.convention} fits best, but only {100 * best.share:.0f} % of the matches of '
            f'{counted(n, "pair")} of images agree; many poses are wrong or inexact'
        )
        return Finding(check, text, 'finding')

    if best.convention == declared:
        changed = best.intrinsics_factor != 1 or best.focal_factor != 1
        given = ' with other intrinsics' if changed else ''
        text = f'{declared}, {100 * best.share:.0f} % of the matches agree{given}'
        return Finding(check, text)

    told = (
        f'{100 * best.share:.0f} % of the matches agree with {best.convention}, and '
        f'{percent:.0f} % with {declared}, the convention of the format'
    )
    if rule == 'auto':
        return Finding(check, f'{told}; they are converted', 'note')

    return Finding(check, f'{told}; convert the poses, or give --convention auto', 'finding')


def _geometry(
    images: Sequence[CheckedImage],
    pairs: Sequence[ImagePair],
    T_map_cam: np.ndarray,
    readings: Readings,
    best: Reading,
) -> list[Finding]:
    """Intrinsics, frames and places, with the poses (V, 4, 4) in the best convention."""
    intrinsics = focal_length(pairs, T_map_cam, best)
    if intrinsics.level == 'finding':
        return [intrinsics]  # with wrong ones, every frame looks wrong

    return [
        intrinsics,
        *frame_poses(images, pairs, T_map_cam),
        translation(pairs, T_map_cam),
        depth_scale(images, pairs, T_map_cam),
    ]
