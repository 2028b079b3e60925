# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of the baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

#: What has to be installed for it, as pyproject.toml names it.
EXTRA = 'baselines'

FeatureKind = Literal['disk', 'sift']


@dataclass(frozen=True)
class HlocConfig:
    """Everything that can be chosen; lengths in pixels of the enlarged images."""

    features: FeatureKind = 'disk'
    """Keypoints and how they are matched: DISK with LightGlue, or SIFT with mutual nearest
    neighbours and the ratio test."""
    longer_side: int = 400
    """Images are enlarged to this size before detection; DISK finds few keypoints in small ones."""
    max_keypoints: int = 512
    """Number of strongest keypoints that are kept per image."""
    sift_ratio: float = 0.85
    """Ratio test of SIFT: the nearest descriptor must be closer than the second by this factor."""
    exhaustive_up_to: int = 30
    """Up to this many images, every pair is matched for the map."""
    pose_neighbours: int = 8
    """With more images, each is matched with this many nearby images of similar direction, ..."""
    retrieval_neighbours: int = 8
    """... and with this many of similar appearance."""
    epipolar_px: float = 2.0
    """Largest distance of a match from the epipolar line that the known poses give."""
    two_view_points: bool = True
    """Whether points that only two images see are part of the map."""
    retrieved: int = 10
    """Images of the map that a query is matched with."""
    ransac_px: float = 8.0
    """Largest reprojection error of a correspondence that agrees with the pose of a query."""
    min_inliers: int = 30
    """With fewer inliers a pose is not trusted: of a thousand random matches, 20 agree
    by chance."""


#: What was best on held-out training images of a tabletop model and of a kitchen, 100 and 160
#: pixels wide, within the time that a query may take: SIFT matches fast, and finds less.
CONFIGS: dict[FeatureKind, HlocConfig] = {
    'disk': HlocConfig(),
    'sift': HlocConfig(
        features='sift', max_keypoints=1024, exhaustive_up_to=60, retrieved=40, min_inliers=15
    ),
}

#: Longer side to which photographs of more pixels are reduced after all, as Hloc does it, and how
#: much smaller ones are enlarged at most.
FULL_SIDE, MOST_ENLARGED = 1600, 2.0

#: The same for photographs at full size, where there is more to be found: tolerances as Hloc has
#: them, and keypoints so few that a processor still has a map in an hour. SIFT locates keypoints
#: better in enlarged photographs, where these are smaller than `FULL_SIDE`.
FULL_SIZE_CONFIGS: dict[FeatureKind, HlocConfig] = {
    'disk': replace(CONFIGS['disk'], max_keypoints=2048, epipolar_px=4.0, ransac_px=12.0),
    'sift': replace(
        CONFIGS['sift'],
        longer_side=FULL_SIDE,
        max_keypoints=4096,
        retrieved=20,
        epipolar_px=4.0,
        ransac_px=12.0,
    ),
}


def for_photographs(config: HlocConfig, longer_side: int) -> HlocConfig:
    """A configuration for photographs of this longer side, which are never reduced further."""
    enlarged = min(config.longer_side, round(MOST_ENLARGED * longer_side))
    return replace(config, longer_side=max(longer_side, enlarged))
