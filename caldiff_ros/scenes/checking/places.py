# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the cameras are: outliers, captures without translation, far origins, scale of depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes.checking.epipolar import (
    AGREES_PX,
    depths_in_first,
    distances_px,
    parallax_px,
)
from caldiff_ros.scenes.checking.images import CheckedImage
from caldiff_ros.scenes.checking.pairs import ImagePair
from caldiff_ros.scenes.checking.report import Finding, named
from caldiff_ros.scenes.images import load_depth
from caldiff_ros.scenes.scene import Frame

#: Cameras are far off beyond a gap of this factor in the distances from the middle of all, unless
#: they are more than this share of all.
_GAP, _MOST_FAR_OFF = 4.0, 0.1
#: The camera only turns if at most this share of the matches has a parallax; judged by at least
#: this many matches.
_MOVED_SHARE, _FEWEST_MATCHES = 0.05, 100
#: An origin is worth telling if it is this many extents away.
_FAR_ORIGIN = 10_000.0
#: A depth scale is wrong beyond this ratio; judged by at least this many points, of
#: about this many images.
_WRONG_SCALE, _FEWEST_POINTS, _DEPTH_IMAGES = 1.2, 50, 20


def far_off(frames: Sequence[Frame]) -> Finding:
    """Cameras far away from all others: the unit of the map is the extent of all."""
    centers = np.stack([frame.T_map_cam[:3, 3] for frame in frames])
    distances = np.linalg.norm(centers - np.median(centers, axis=0), axis=1)
    order = np.argsort(distances)
    first = int(np.ceil((1 - _MOST_FAR_OFF) * len(frames)))
    inner = np.maximum.accumulate(distances[order])[first - 1 : -1]
    gaps = np.flatnonzero(distances[order][first:] > _GAP * np.maximum(inner, 1e-9))

    if not len(gaps) or inner[0] <= 0:
        return Finding('camera places', 'no camera is far off')

    names = [frames[i].name for i in order[first + gaps[0] :]]
    times = distances[order[-1]] / inner[gaps[0]]
    text = (
        f'{len(names)} of {len(frames)} ({named(names)}) are up to {times:.0f} times as far away '
        'as the rest, which would make the place tiny in the map; remove them, or correct their '
        'poses'
    )
    return Finding('camera places', text, 'finding')


def origin(frames: Sequence[Frame]) -> Finding:
    """How far the origin is from the cameras."""
    centers = np.stack([frame.T_map_cam[:3, 3] for frame in frames])
    middle = np.median(centers, axis=0)
    extent = float(np.median(np.linalg.norm(centers - middle, axis=1)))
    distance = float(np.linalg.norm(middle))

    if extent <= 0 or distance < _FAR_ORIGIN * extent:
        return Finding('origin', 'near the cameras')

    text = f'{distance:.0f} units from the cameras; kept in double precision'
    return Finding('origin', text, 'note')


def translation(pairs: Sequence[ImagePair], T_map_cam: np.ndarray) -> Finding:
    """Whether the camera has moved, or only turned: then nothing in the images has a depth."""
    moved = [
        parallax_px(pair, T_map_cam)[distances_px(pair, T_map_cam) < AGREES_PX] for pair in pairs
    ]
    parallax = np.concatenate([np.empty(0), *moved])
    if len(parallax) < _FEWEST_MATCHES:
        return Finding('translation', 'too few matches to check', 'unknown')
    if (parallax > AGREES_PX).mean() > _MOVED_SHARE:
        return Finding('translation', 'the images have parallax')

    text = (
        f'the camera only rotates: {np.median(parallax):.1f} pixels of parallax '
        'give no depth; take images from other positions as well'
    )
    return Finding('translation', text, 'finding')


def depth_scale(
    images: Sequence[CheckedImage], pairs: Sequence[ImagePair], T_map_cam: np.ndarray
) -> Finding:
    """Measured depth against that of matches triangulated with the poses."""
    check = 'depth scale'
    with_depth = [i for i, image in enumerate(images) if image.frame.depth_path is not None]
    if not with_depth:
        return Finding(check, 'no depth images')

    chosen = with_depth[:: max(1, len(with_depth) // _DEPTH_IMAGES)]
    ratios = np.concatenate([_depth_ratios(i, images, pairs, T_map_cam) for i in chosen])
    if len(ratios) < _FEWEST_POINTS:
        return Finding(check, 'too few matches to check', 'unknown')

    ratio = float(np.median(ratios))
    if 1 / _WRONG_SCALE < ratio < _WRONG_SCALE:
        return Finding(check, f'{ratio:.3f} times that of the poses')

    text = (
        f'measured depth is {ratio:.3g} times that of the poses; correct '
        f'depth_unit_scale_factor ({images[chosen[0]].frame.depth_unit:.3g} now)'
    )
    return Finding(check, text, 'finding')


def _depth_ratios(
    i: int, images: Sequence[CheckedImage], pairs: Sequence[ImagePair], T_map_cam: np.ndarray
) -> np.ndarray:
    """Measured over triangulated depth at the matches of an image, where both are known."""
    try:
        depth = load_depth(images[i].frame, images[i].camera)
    except CaldiffError:
        return np.empty(0)
    if depth is None:
        return np.empty(0)

    camera = images[i].camera
    ratios = [np.empty(0)]
    for pair in pairs:
        if pair.i != i or not pair.verified:
            continue

        z = depths_in_first(pair, T_map_cam)
        z[distances_px(pair, T_map_cam) > AGREES_PX] = np.nan
        u, v = (pair.xy_i * (camera.fx, camera.fy) + (camera.cx, camera.cy)).astype(int).T
        inside = (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
        measured = depth[v[inside], u[inside]]
        ratio = np.where(measured > 0, measured, np.nan) / z[inside]
        ratios.append(ratio[np.isfinite(ratio)])

    return np.concatenate(ratios)
