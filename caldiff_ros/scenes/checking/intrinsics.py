# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether focal lengths and image sizes are those of the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caldiff_ros.scenes.checking.epipolar import distances_px
from caldiff_ros.scenes.checking.pairs import ImagePair
from caldiff_ros.scenes.checking.readings import FOCAL_FACTORS, Reading, thinned, turn_deg
from caldiff_ros.scenes.checking.report import Finding, named
from caldiff_ros.scenes.images import same_aspect
from caldiff_ros.scenes.pixels import image_size
from caldiff_ros.scenes.scene import Frame

#: Pairs of cameras that are turned by this angle say more about the focal length; they are judged
#: alone if there are this many. With fewer pairs in all than the last number, nothing is said.
_TURNED_DEG, _FEWEST_TURNED, _FEWEST_PAIRS = 8.0, 30, 12
#: Pairs that are tried at most.
_MOST_PAIRS = 200
#: Median distance in pixels up to which it is due to the features and not to inexact poses.
_FEATURE_NOISE_PX = 0.4
#: Distances are clipped to these pixels: smaller ones are noise, and larger ones simply wrong.
_NOISE_PX, _WRONG_PX = 0.02, 20.0
#: A focal length is wrong if the best one differs by this share and its whole interval by this, and
#: if it is better for more than half of the pairs, by this many standard deviations.
_WRONG, _SURELY_WRONG, _SIGMAS = 0.06, 0.03, 2.5
#: Number of bootstrap samples of the pairs for that interval.
_RESAMPLINGS = 100


def other_sizes(frames: Sequence[Frame]) -> tuple[Finding, list[Frame]]:
    """Frames whose image has another aspect than its intrinsics, as a finding, and the others."""
    fitting, wrong = [], []
    for frame in frames:
        width, height = image_size(frame.image_path, frame.upright)
        if same_aspect(frame.camera, width, height):
            fitting.append(frame)
        else:
            wrong.append((frame, f'{width}x{height}'))

    if not wrong:
        return Finding('image sizes', 'those of the intrinsics'), fitting

    frame, size = wrong[0]
    text = (
        f'{len(wrong)} of {len(frames)} images have another aspect ratio than their intrinsics, '
        f'such as {frame.name} ({size}, its camera {frame.camera.width}x{frame.camera.height}); '
        f'correct w and h: {named([frame.name for frame, _ in wrong])}'
    )
    return Finding('image sizes', text, 'finding'), fitting


def focal_length(pairs: Sequence[ImagePair], T_map_cam: np.ndarray, reading: Reading) -> Finding:
    """Whether other intrinsics explain the images better.

    Args:
        pairs: all that match.
        T_map_cam: poses of the images, (V, 4, 4), in its convention.
        reading: the one that fits.
    """
    check = 'intrinsics'
    if reading.intrinsics_factor != 1:
        factor = reading.intrinsics_factor
        text = (
            f'they fit when multiplied by {factor:.2f}, so are those of images of another size; '
            'correct w and h, or focal length and principal point'
        )
        return Finding(check, text, 'finding')

    better = _better_focal_factor(pairs, T_map_cam)
    if better in (None, 1) and reading.focal_factor != 1:
        text = (
            'poses and images agree only in part, and best with a focal length of '
            f'{100 * reading.focal_factor:.0f} % of the given one; check both'
        )
        return Finding(check, text, 'finding')

    if better is None:
        text = 'too few matches to check the focal length'
        return Finding(check, text, 'unknown')
    if better == 1:
        return Finding(check, 'no other focal length explains the images better')

    text = (
        f'the images fit a focal length of {100 * better:.0f} % of the given one; multiply fl_x '
        f'and fl_y by {better:.2f}, or calibrate the camera'
    )
    return Finding(check, text, 'finding')


def _better_focal_factor(pairs: Sequence[ImagePair], T_map_cam: np.ndarray) -> float | None:
    """The factor of a focal length that is clearly better; 1 if there is none, None if unknown."""
    verified = [pair for pair in pairs if pair.verified]
    turned = [pair for pair in verified if turn_deg(pair, T_map_cam) > _TURNED_DEG]
    chosen = thinned(turned if len(turned) >= _FEWEST_TURNED else verified, _MOST_PAIRS)
    if len(chosen) < _FEWEST_PAIRS:
        return None

    errors = np.array([[_error_px(p, T_map_cam, f) for f in FOCAL_FACTORS] for p in chosen])
    in_pixels = _clearly_better(np.log(errors))
    if in_pixels is None:
        return 1.0

    # A short focal length shrinks the error of inexact poses in pixels, a long one that of features
    # as an angle. Where it is not known to be that of features, both have to say the same.
    best = int(np.abs(FOCAL_FACTORS - in_pixels).argmin())
    if np.median(errors[:, best]) > _FEATURE_NOISE_PX:
        as_angle = _clearly_better(np.log(errors / FOCAL_FACTORS))
        if as_angle is None or (as_angle > 1) != (in_pixels > 1):
            return 1.0

    return in_pixels


def _clearly_better(errors: np.ndarray) -> float | None:
    """The best of the focal factors, if it is clearly better than 1.

    Args:
        errors: logarithms, of every pair with every factor, (P, F).
    """
    # 1. The best one, and where it may lie
    best = int(errors.mean(axis=0).argmin())
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(errors), (_RESAMPLINGS, len(errors)))
    likely = np.log(FOCAL_FACTORS[errors[drawn].mean(axis=1).argmin(axis=1)])
    low, high = np.quantile(likely, (0.02, 0.98))

    # 2. Whether the given one is clearly worse
    given = int(np.abs(np.log(FOCAL_FACTORS)).argmin())
    better = (errors[:, best] < errors[:, given]).mean()
    is_clear = (
        0 < best < len(FOCAL_FACTORS) - 1
        and abs(np.log(FOCAL_FACTORS[best])) > _WRONG
        and (low > _SURELY_WRONG or high < -_SURELY_WRONG)
        and better > 0.5 + _SIGMAS * 0.5 / np.sqrt(len(errors))
    )
    return float(FOCAL_FACTORS[best]) if is_clear else None


def _error_px(pair: ImagePair, T_map_cam: np.ndarray, factor: float) -> float:
    return float(np.median(distances_px(pair, T_map_cam, factor).clip(_NOISE_PX, _WRONG_PX)))
