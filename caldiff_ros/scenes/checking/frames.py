# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames unlike the others: wrong pose, mirrored, zoomed, duplicate, isolated, blurred."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from caldiff_ros.scenes.checking.images import CheckedImage
from caldiff_ros.scenes.checking.pairs import ImagePair, match_images
from caldiff_ros.scenes.checking.readings import FOCAL_FACTORS, agreement
from caldiff_ros.scenes.checking.report import Finding, Level, named

#: A verified pair contradicts the poses below the first share of agreeing matches, and supports
#: them above the second.
_CONTRADICTS, _SUPPORTS = 0.3, 0.6
#: Distance in pixels that poses of a phone may cause; wrong poses cause more.
_NOT_WRONG_PX = 5.0
#: This many pairs must contradict the pose of a frame, or say that it is mirrored.
_FEWEST_AGAINST = 2
#: Frames are judged one by one where the median frame has this many verified pairs.
_WELL_CONNECTED = 3
#: The frames with the fewest matches are tried mirrored: this share of all, and at least this many.
#: Each is tried with those it was paired with and with this many neighbours on either side.
_TRIED_MIRRORED, _FEWEST_TRIED, _ON_EITHER_SIDE = 0.15, 8, 2
#: A mirrored image has at least this many matches in a pair, and this many times those of the file.
_FEWEST_MIRRORED, _CLEARLY = 20, 2
#: A zoom explains this share of the matches, in at least this many pairs, and differs from 1 by
#: this factor.
_ZOOM_EXPLAINS, _FEWEST_ZOOMED, _ZOOMED = 0.8, 3, 1.1
#: Two poses are the same up to these distances, in shares of the extent and in radians.
_SAME = 1e-3
#: An image is blurred with a smaller share of the median sharpness.
_BLURRED = 0.1


def wrong_frames(pairs: Sequence[ImagePair], T_map_cam: np.ndarray) -> list[int]:
    """Images that match others well where their poses say otherwise.

    The one that most pairs speak against is taken out, with its pairs, until none is left.

    Args:
        pairs: of V images.
        T_map_cam: their poses, (V, 4, 4).
    """
    against, support = defaultdict(set), defaultdict(set)
    for pair in pairs:
        if not pair.verified:
            continue

        share = _agreement(pair, T_map_cam)
        if share < _CONTRADICTS:
            against[pair.i].add(pair.j)
            against[pair.j].add(pair.i)
        elif share > _SUPPORTS:
            support[pair.i].add(pair.j)
            support[pair.j].add(pair.i)

    wrong: list[int] = []
    while True:
        excess = {i: len(others) - len(support[i]) for i, others in against.items()}
        candidates = [i for i in against if len(against[i]) >= _FEWEST_AGAINST and excess[i] > 0]
        if not candidates:
            return sorted(wrong)

        worst = max(candidates, key=lambda i: (excess[i], len(against[i]), -i))
        wrong.append(worst)
        for others in (against.pop(worst), support[worst]):
            for other in others:
                against[other].discard(worst)
                support[other].discard(worst)


def frame_poses(
    images: Sequence[CheckedImage], pairs: Sequence[ImagePair], T_map_cam: np.ndarray
) -> list[Finding]:
    """Wrong poses, and those of the wrong frames whose images are mirrored or zoomed instead."""
    V = len(images)
    n_pairs, n_matches = Counter[int](), Counter[int]()
    for pair in pairs:
        for number in (pair.i, pair.j):
            n_pairs[number] += pair.verified
            n_matches[number] += len(pair) * pair.verified

    if np.median([n_pairs[i] for i in range(V)]) < _WELL_CONNECTED:
        return [Finding('wrong poses', 'too few matches to check', 'unknown')]

    wrong = wrong_frames(pairs, T_map_cam)
    n_tried = max(_FEWEST_TRIED, round(_TRIED_MIRRORED * V))
    suspects = {*wrong, *sorted(range(V), key=lambda i: n_matches[i])[:n_tried]}
    mirrored = sorted(i for i in suspects if _is_mirrored(i, images, pairs, T_map_cam))
    zooms = {i: _zoom(i, pairs, T_map_cam) for i in wrong if i not in mirrored}
    isolated = [i for i in range(V) if not n_pairs[i] and i not in mirrored]

    return [
        _listed(
            'wrong poses',
            [i for i, zoom in zooms.items() if zoom is None],
            images,
            'other images contradict them; remove these frames, or correct their poses',
        ),
        _listed('mirrored frames', mirrored, images, 'turn these images back'),
        _listed(
            'zoomed frames',
            [i for i, zoom in zooms.items() if zoom is not None],
            images,
            'they fit with another focal length only; give it, or remove these frames',
        ),
        _listed(
            'isolated frames',
            isolated,
            images,
            'no matches with other images, so their poses are not checked',
            level='note',
        ),
    ]


def _listed(
    check: str,
    numbers: Sequence[int],
    images: Sequence[CheckedImage],
    what: str,
    level: Level = 'finding',
) -> Finding:
    """Those of the images that something is wrong with, if there are any."""
    if not numbers:
        return Finding(check, 'none')

    names = named([images[i].frame.name for i in numbers])
    return Finding(check, f'{len(numbers)} of {len(images)} ({names}): {what}', level)


def _is_mirrored(
    i: int, images: Sequence[CheckedImage], pairs: Sequence[ImagePair], T_map_cam: np.ndarray
) -> bool:
    """Whether the mirrored image matches the others clearly better."""
    others = {p.i + p.j - i for p in pairs if i in (p.i, p.j)}
    others |= set(range(i - _ON_EITHER_SIDE, i + _ON_EITHER_SIDE + 1)) & set(range(len(images)))
    mirrored = images[i].mirrored()

    # only matches that fit the poses count, as the two sides of an object may mirror each other
    turned, as_it_is = [], []
    for j in others - {i}:
        turned.append(_n_agreeing(match_images(mirrored, images[j], (i, j)), T_map_cam))
        as_it_is.append(_n_agreeing(match_images(images[i], images[j], (i, j)), T_map_cam))

    in_pairs = sum(n >= _FEWEST_MIRRORED for n in turned)
    return in_pairs >= _FEWEST_AGAINST and sum(turned) > _CLEARLY * sum(as_it_is)


def _n_agreeing(pair: ImagePair, T_map_cam: np.ndarray) -> int:
    """The matches of a verified pair that agree with the poses."""
    return round(len(pair) * _agreement(pair, T_map_cam)) if pair.verified else 0


def _agreement(pair: ImagePair, T_map_cam: np.ndarray) -> float:
    return agreement(pair, T_map_cam, limit_px=_NOT_WRONG_PX)


def _zoom(i: int, pairs: Sequence[ImagePair], T_map_cam: np.ndarray) -> float | None:
    """The factor of the focal length of one image with which its pose is right, if there is one."""
    of_image = [p for p in pairs if p.verified and i in (p.i, p.j)]

    def share(factor: float) -> float:
        shares = [
            _agreement(
                replace(
                    pair,
                    xy_i=pair.xy_i / (factor if pair.i == i else 1),
                    xy_j=pair.xy_j / (factor if pair.j == i else 1),
                ),
                T_map_cam,
            )
            for pair in of_image
        ]
        return float(np.median(shares))

    best = float(max(FOCAL_FACTORS, key=share))
    is_zoom = max(best, 1 / best) > _ZOOMED and share(best) > _ZOOM_EXPLAINS
    return best if is_zoom and len(of_image) >= _FEWEST_ZOOMED else None


def duplicates(images: Sequence[CheckedImage], T_map_cam: np.ndarray) -> Finding:
    """Images that are the same as another one, at the same pose or, what is worse, at another."""
    first: dict[bytes, int] = {}
    same: list[int] = []
    elsewhere: list[int] = []
    extent = max(float(np.ptp(T_map_cam[:, :3, 3], axis=0).max()), 1e-9)

    for i, image in enumerate(images):
        j = first.setdefault(image.digest, i)
        if j == i:
            continue

        moved = np.linalg.norm(T_map_cam[i, :3, 3] - T_map_cam[j, :3, 3]) / extent
        turned = np.abs(T_map_cam[i, :3, :3] - T_map_cam[j, :3, :3]).max()
        (same if max(moved, turned) < _SAME else elsewhere).append(i)

    check = 'duplicates'
    if elsewhere:
        what = 'the image is that of another frame, at another pose; remove one of them'
        return _listed(check, elsewhere, images, what)

    what = 'copies of other frames, which may be in training and test at once'
    return _listed(check, same, images, what, level='note')


def blurred(images: Sequence[CheckedImage]) -> Finding:
    """Images that are much less sharp than the others."""
    sharpness = np.array([image.sharpness for image in images])
    dull = np.flatnonzero(sharpness < _BLURRED * np.median(sharpness)).tolist()
    return _listed('blurred frames', dull, images, 'much less sharp than the rest', level='note')
