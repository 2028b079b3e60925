# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""In which convention poses are written, and with which intrinsics, by what the images show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from caldiff_ros.scenes.checking.epipolar import AGREES_PX, distances_px
from caldiff_ros.scenes.checking.images import CheckedImage
from caldiff_ros.scenes.checking.pairs import ImagePair
from caldiff_ros.scenes.conventions import CONVENTIONS, Convention

#: Verified pairs are judged alone if there are this many; otherwise all pairs are, if they have
#: this many matches.
_FEWEST_PAIRS, _FEWEST_MATCHES = 8, 60
#: Pairs that are judged at most, and those that are tried with other intrinsics.
_MOST_PAIRS, _MOST_FOR_INTRINSICS = 120, 40
#: Matches of a pair that count at most: one rich pair is no majority.
_MOST_OF_PAIR = 50
#: The least share of matches that agree with right poses: of verified pairs, and of others, half of
#: whose matches may be wrong.
_RIGHT_VERIFIED, _RIGHT = 0.6, 0.3
#: Where this share agrees with one convention alone, it is right, and many poses are wrong.
_PARTLY_RIGHT = 0.2
#: Another reading than the declared one wins if this many times as many matches agree with it.
_CLEARLY = 2.0
#: Focal lengths that are tried, as factors of the declared ones.
FOCAL_FACTORS = np.exp(np.linspace(np.log(0.5), np.log(2.0), 57))
#: Principal points that far from the centre, as a share of the size, may be those of another size.
_OFF_CENTER = 0.15


@dataclass(frozen=True)
class Reading:
    """One way to read poses and intrinsics.

    Attributes:
        convention: of the poses.
        intrinsics_factor: of focal lengths and principal points.
        focal_factor: of the focal lengths alone.
        share: of the matches that agree with it.
    """

    convention: Convention
    intrinsics_factor: float
    focal_factor: float
    share: float


@dataclass(frozen=True)
class Readings:
    """What the images say about the readings.

    Attributes:
        declared: as the dataset is supposed to be read.
        best: the one that the matches agree with; the declared one unless another is clearly
            better; None where they agree with none.
        pairs: what was judged; none where there are too few matches.
    """

    declared: Reading
    best: Reading | None
    pairs: list[ImagePair]

    @property
    def is_partial(self) -> bool:
        """Whether the best one fits a part of the frames only."""
        verified = bool(self.pairs) and self.pairs[0].verified
        return self.best is not None and verified and self.best.share < _RIGHT_VERIFIED


def judged_readings(
    pairs: Sequence[ImagePair],
    images: Sequence[CheckedImage],
    T_map_cam: np.ndarray,
    declared: Convention,
) -> Readings:
    """Try the four conventions; where none fits, with other intrinsics.

    Args:
        pairs: of images.
        images: (V,).
        T_map_cam: poses (V, 4, 4), as read in the declared convention.
        declared: that convention.
    """
    judged = _judged(pairs)
    poses = {c: reread(T_map_cam, declared, c) for c in CONVENTIONS}
    plain = [_reading(judged, T, convention) for convention, T in poses.items()]
    of_declared = next(r for r in plain if r.convention == declared)

    # 1. The conventions, with the given intrinsics
    best = max(plain, key=lambda r: r.share)
    if best.share < _CLEARLY * of_declared.share:
        best = of_declared

    verified = bool(judged) and judged[0].verified
    if best.share >= (_RIGHT_VERIFIED if verified else _RIGHT):
        return Readings(of_declared, best, judged)
    if not verified:  # matches that may be wrong speak against nothing
        return Readings(of_declared, None, [])

    # 2. With other intrinsics
    few = thinned(judged, _MOST_FOR_INTRINSICS)
    other = max(_with_other_intrinsics(few, images, poses), key=lambda r: r.share)
    if other.share >= _RIGHT_VERIFIED:
        return Readings(of_declared, other, judged)

    # 3. Right for a part of the frames
    second = max(r.share for r in plain if r is not best)
    is_partly_right = best.share >= _PARTLY_RIGHT and best.share > _CLEARLY * second
    return Readings(of_declared, best if is_partly_right else None, judged)


def reread(T_map_cam: np.ndarray, declared: Convention, other: Convention) -> np.ndarray:
    """Poses (V, 4, 4) that were read in one convention, read in another."""
    if other == declared:
        return T_map_cam
    return np.stack([other.read(declared.write(T)) for T in T_map_cam])


def _judged(pairs: Sequence[ImagePair]) -> list[ImagePair]:
    """Conclusive pairs of one kind; none if they are too few."""
    verified = [pair for pair in pairs if pair.verified]
    if len(verified) < _FEWEST_PAIRS:
        return list(pairs) if sum(map(len, pairs)) >= _FEWEST_MATCHES else []

    return thinned(verified, _MOST_PAIRS)


def thinned(pairs: Sequence[ImagePair], count: int) -> list[ImagePair]:
    """At most ``count`` of the pairs, from those that moved much and little in the images alike."""
    by_motion = sorted(pairs, key=lambda p: float(np.median(np.abs(p.xy_i - p.xy_j))))
    n = min(len(pairs), count)
    return [by_motion[k] for k in np.linspace(0, len(pairs) - 1, n).round().astype(int)]


def turn_deg(pair: ImagePair, T_map_cam: np.ndarray) -> float:
    """Angle between the two cameras; it is the same in every convention."""
    R = T_map_cam[pair.i][:3, :3].T @ T_map_cam[pair.j][:3, :3]
    return float(np.degrees(np.arccos(np.clip((np.trace(R) - 1) / 2, -1, 1))))


def _reading(
    pairs: Sequence[ImagePair],
    T_map_cam: np.ndarray,
    convention: Convention,
    intrinsics_factor: float = 1.0,
    focal_factor: float = 1.0,
) -> Reading:
    agreeing, weights = 0.0, 0
    for pair in pairs:
        weight = min(len(pair), _MOST_OF_PAIR)
        agreeing += weight * agreement(pair, T_map_cam, focal_factor)
        weights += weight

    return Reading(convention, intrinsics_factor, focal_factor, agreeing / max(weights, 1))


def agreement(
    pair: ImagePair,
    T_map_cam: np.ndarray,
    focal_factor: float = 1.0,
    limit_px: float = AGREES_PX,
) -> float:
    """Share of the matches of a pair that agree with the poses (V, 4, 4)."""
    return float((distances_px(pair, T_map_cam, focal_factor) < limit_px).mean())


def _with_other_intrinsics(
    pairs: Sequence[ImagePair],
    images: Sequence[CheckedImage],
    poses: dict[Convention, np.ndarray],
) -> list[Reading]:
    """Readings with other focal lengths, or with the intrinsics of another size."""
    readings = [
        _reading(pairs, T, convention, focal_factor=factor)
        for convention, T in poses.items()
        for factor in FOCAL_FACTORS
    ]
    factor = size_factor(images)
    if factor is not None:
        rescaled = [rescaled_pair(pair, images, factor) for pair in pairs]
        readings += [_reading(rescaled, T, c, factor) for c, T in poses.items()]

    return readings


def size_factor(images: Sequence[CheckedImage]) -> float | None:
    """The factor of the intrinsics that would centre the principal points; None if it is near 1."""
    offsets = np.array(
        [[2 * c.cx / c.width, 2 * c.cy / c.height] for c in (image.camera for image in images)]
    )
    x, y = np.median(offsets, axis=0)
    if min(abs(x - 1), abs(y - 1)) < 2 * _OFF_CENTER or (x > 1) != (y > 1) or min(x, y) <= 0:
        return None

    return float(1 / np.sqrt(x * y))


def rescaled_pair(pair: ImagePair, images: Sequence[CheckedImage], factor: float) -> ImagePair:
    """The pair as it is if the intrinsics of its images are multiplied by a factor."""

    def rescaled(xy: np.ndarray, image: CheckedImage) -> np.ndarray:
        camera = image.camera
        center_xy = np.array([camera.cx / camera.fx, camera.cy / camera.fy])
        return (xy + center_xy) / factor - center_xy

    return replace(
        pair,
        xy_i=rescaled(pair.xy_i, images[pair.i]),
        xy_j=rescaled(pair.xy_j, images[pair.j]),
        focal=pair.focal * factor,
    )
