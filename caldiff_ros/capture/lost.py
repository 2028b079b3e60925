# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which pictures have no pose, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from caldiff_ros.capture.config import EXTRA
from caldiff_ros.capture.keypoints import Workplace
from caldiff_ros.capture.pictures import Picture
from caldiff_ros.capture.reconstruction import Models, registered_names
from caldiff_ros.packages import load_pycolmap

#: Share of the median sharpness below which a picture is called blurred.
_BLURRED = 0.3
_FEW_KEYPOINTS = 150
#: COLMAP needs 30 matches that agree for a pose; a pair below that shows too little in common.
_FEW_MATCHES = 30


@dataclass(frozen=True)
class LostPart:
    """Pictures in a row that have no pose for the same reason.

    Attributes:
        first, last: names of the pictures.
        count: how many there are.
        seconds: when the first and the last were, in a video.
        why: the reason.
    """

    first: str
    last: str
    count: int
    seconds: tuple[float, float] | None
    why: str

    def __str__(self) -> str:
        if self.seconds is not None:
            place = f'{self.seconds[0]:.1f} to {self.seconds[1]:.1f} s'
        else:
            place = self.first if self.count == 1 else f'{self.first} to {self.last}'
        return f'{place} ({self.count}): {self.why}'


@dataclass(frozen=True)
class Evidence:
    """What the database knows of a picture.

    Attributes:
        n_keypoints: in it.
        n_matches: verified ones with the picture that shares most with it, of those with a pose.
    """

    n_keypoints: int
    n_matches: int


def find_lost_parts(pictures: Sequence[Picture], models: Models, at: Workplace) -> list[LostPart]:
    """The pictures without pose, in their order.

    Args:
        pictures: all of them.
        models: what was found.
        at: whose database says why.
    """
    kept = registered_names(models.largest)
    evidence = _evidence(kept, at)
    usual = float(np.median([picture.sharpness for picture in pictures]))

    def reason(picture: Picture) -> str | None:
        if picture.name in kept:
            return None
        elsewhere = picture.name in models.elsewhere
        return why_lost(evidence[picture.name], picture.sharpness / usual, elsewhere)

    parts = []
    for why, group in groupby(pictures, key=reason):
        run = list(group)
        if why is not None:
            first, last = run[0], run[-1]
            seconds = None
            if first.seconds is not None and last.seconds is not None:
                seconds = first.seconds, last.seconds
            parts.append(LostPart(first.name, last.name, len(run), seconds, why))

    return parts


def why_lost(evidence: Evidence, relative_sharpness: float, elsewhere: bool) -> str:
    """The reason why a picture has no pose.

    Args:
        evidence: what was found in it.
        relative_sharpness: in units of the median of all pictures.
        elsewhere: whether it has one in a smaller model.
    """
    if relative_sharpness < _BLURRED:
        return 'blurred; move slower or add light'
    if evidence.n_keypoints < _FEW_KEYPOINTS:
        return 'almost no texture; keep something with structure in view'
    if elsewhere:
        return 'consistent in itself but not connected to the rest; add pictures from in between'
    if evidence.n_matches < _FEW_MATCHES:
        return 'too little overlap with the others; add pictures from around there'
    return 'matches others, which gives no reliable pose; things moved or look the same twice'


def _evidence(kept: frozenset[str], at: Workplace) -> dict[str, Evidence]:
    pycolmap = load_pycolmap(EXTRA)
    ids = at.image_ids()
    kept_ids = {ids[name] for name in kept}
    best: dict[int, int] = defaultdict(int)

    with at.opened() as database:
        pair_ids, counts = database.read_two_view_geometry_num_inliers()
        for pair_id, count in zip(pair_ids, counts, strict=True):
            first, second = pycolmap.pair_id_to_image_pair(pair_id)
            for one, other in ((first, second), (second, first)):
                if other in kept_ids:
                    best[one] = max(best[one], count)

        return {
            name: Evidence(database.num_keypoints_for_image(number), best[number])
            for name, number in ids.items()
        }
