# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames that are not like the others: wrong pose, mirrored, zoomed, duplicate, isolated, blurred."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from caldiff_ros.scenes.checking.images import CheckedImage
from caldiff_ros.scenes.checking.pairs import ImagePair, match_images
from caldiff_ros.scenes.checking.readings import FOCAL_FACTORS, agreement
from caldiff_ros.scenes.checking.report import Finding, named

#: A verified pair contradicts the poses below the first share of agreeing matches, and supports
#: them above the second.
_CONTRADICTS, _SUPPORTS = 0.3, 0.6
#: So many pairs must contradict the pose of a frame.
_FEWEST_AGAINST = 2
#: Frames without a verified pair count as isolated where the median frame has so many.
_WELL_CONNECTED = 3
#: Frames that are tried mirrored at most, each with so many others on either side.
_MOST_MIRRORED, _ON_EITHER_SIDE = 12, 2
#: A mirrored image matches so many times as well as the file itself does.
_CLEARLY = 2
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

        share = agreement(pair, T_map_cam)
        if share < _CONTRADICTS:
            against[pair.i].add(pair.j)
            against[pair.j].add(pair.i)
        elif share > _SUPPORTS:
            support[pair.i].add(pair.j)
            support[pair.j].add(pair.i)

    wrong: list[int] = []
    while True:
        excess = {i: len(others) - len(support[i]) for i, others in against.items()}
        candidates = [
            i for i in against if len(against[i]) >= _FEWEST_AGAINST and excess[i] > 0
        ]
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
    n_pairs = Counter(number for p in pairs if p.verified for number in (p.i, p.j))
    isolated = [i for i in range(len(images)) if not n_pairs[i]]
    connected = np.median([n_pairs[i] for i in range(len(images))]) >= _WELL_CONNECTED
    if not connected:
        return [Finding('poses of frames', 'too few matches to tell them one by one')]

    wrong = wrong_frames(pairs, T_map_cam)
    mirrored = [i for i in [*wrong, *isolated][:_MOST_MIRRORED] if _is_mirrored(i, images, pairs)]
    zoomed = {i: _zoom(i, pairs, T_map_cam) for i in wrong if i not in mirrored}
    misplaced = [i for i, zoom in zoomed.items() if zoom is None]
    zooms = [
        f'{images[i].frame.name} (by {zoom:.2f})' for i, zoom in zoomed.items() if zoom is not None
    ]
    names = [image.frame.name for image in images]

    return [
        _listed(
            'poses of frames',
            [names[i] for i in misplaced],
            'contradict what their images show; remove them, or find their poses again',
            'agree with the images',
        ),
        _listed(
            'mirrored frames', [names[i] for i in mirrored], 'are mirrored; turn them back', 'none'
        ),
        _listed(
            'zoomed frames', zooms, 'have another focal length; give it, or remove them', 'none'
        ),
        _listed(
            'isolated frames',
            [names[i] for i in isolated if i not in mirrored],
            'share nothing with others that could be matched, so their poses are not checked',
            'none',
            note=True,
        ),
    ]


def _listed(check: str, names: list[str], what: str, otherwise: str, note: bool = False) -> Finding:
    if not names:
        return Finding(check, otherwise)
    return Finding(check, f'{len(names)} {what}: {named(names)}', 'note' if note else 'finding')


def _is_mirrored(i: int, images: Sequence[CheckedImage], pairs: Sequence[ImagePair]) -> bool:
    """Whether the mirrored image matches the others clearly better."""
    others = {p.i + p.j - i for p in pairs if i in (p.i, p.j)}
    others |= {i + step for step in range(-_ON_EITHER_SIDE, _ON_EITHER_SIDE + 1) if step}
    others &= set(range(len(images)))
    mirrored = CheckedImage.of(images[i].frame, mirrored=True)

    for j in others:
        turned = match_images(mirrored, images[j])
        as_it_is = match_images(images[i], images[j])
        if turned.verified and len(turned) > _CLEARLY * len(as_it_is):
            return True

    return False


def _zoom(i: int, pairs: Sequence[ImagePair], T_map_cam: np.ndarray) -> float | None:
    """The factor of the focal length of one image with which its pose is right, if there is one."""
    of_image = [p for p in pairs if p.verified and i in (p.i, p.j)]

    def share(factor: float) -> float:
        shares = [
            agreement(
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

    best = max(FOCAL_FACTORS, key=share)
    return float(best) if share(best) > _SUPPORTS else None


def duplicates(images: Sequence[CheckedImage], T_map_cam: np.ndarray) -> Finding:
    """Images that are the same as another one, at the same pose or, what is worse, at another."""
    first: dict[bytes, int] = {}
    same, elsewhere = [], []
    extent = max(float(np.ptp(T_map_cam[:, :3, 3], axis=0).max()), 1e-9)

    for i, image in enumerate(images):
        j = first.setdefault(image.digest, i)
        if j == i:
            continue

        moved = np.linalg.norm(T_map_cam[i, :3, 3] - T_map_cam[j, :3, 3]) / extent
        turned = np.abs(T_map_cam[i, :3, :3] - T_map_cam[j, :3, :3]).max()
        (same if max(moved, turned) < _SAME else elsewhere).append(image.frame.name)

    check = 'duplicates'
    if elsewhere:
        what = 'have the image of another frame at another pose; remove one of them'
        return _listed(check, elsewhere, what, '')

    what = 'are copies of others, which may be in training and test at once'
    return _listed(check, same, what, 'none', note=True)


def blurred(images: Sequence[CheckedImage]) -> Finding:
    """Images that are much less sharp than the others."""
    sharpness = np.array([image.sharpness for image in images])
    dull = np.flatnonzero(sharpness < _BLURRED * np.median(sharpness))
    names = [images[i].frame.name for i in dull]
    return _listed('blurred frames', names, 'are much less sharp than the rest', 'none', note=True)
