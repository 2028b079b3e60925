# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How many times the covariances of poses are too small, from poses whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.confidence import FEWEST_RIGHT, USUAL_MATCHING_SCALE, Scales
from caldiff_ros.localization.correctness import is_wrong, nees
from caldiff_ros.localization.covariance import fuse_all
from caldiff_ros.localization.landmarks import Landmarks
from caldiff_ros.localization.matching import Matcher, MatchingConfig
from caldiff_ros.localization.pnp import Matched
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.field import RadianceField

#: A NEES of more than this many times the median is an outlier from another minimum (chi-square
#: probability 1e-9), which must not dominate the mean.
_MOST_NEES = 10.0


@dataclass(frozen=True)
class Estimates:
    """Poses, (1,), of a view whose true pose, (1,), is known, and their covariances.

    Attributes:
        truth: the true pose.
        aligned: by the photometric error.
        matched: by matches with renders; None without.
        by_landmarks: by matches with landmarks; None without.
    """

    truth: Pose
    aligned: tuple[Pose, Tensor]
    matched: tuple[Pose, Tensor] | None
    by_landmarks: tuple[Pose, Tensor] | None

    def scaled(self, scales: Scales) -> list[tuple[Pose, Tensor]]:
        """Those that there are, with covariances as large as they have to be."""
        all_three = (self.aligned, self.matched, self.by_landmarks)
        return [
            (each[0], scale * each[1])
            for each, scale in zip(all_three, scales[:3], strict=True)
            if each is not None
        ]


def matched_near(
    field: RadianceField, query: Query, start: Pose, truth: Pose, landmarks: Landmarks | None
) -> tuple[tuple[Pose, Tensor] | None, tuple[Pose, Tensor] | None]:
    """What matches with renders, and with landmarks, find near the truth, from a start, (1,) each.

    Returns:
        Pose and covariance of each; None where it finds nothing.
    """
    matcher, pnp = Matcher(field, query, MatchingConfig()), MatchingConfig().pnp
    by_renders = [matcher.until_still(each) for each in matcher.match(start)]
    by_landmarks = None
    if landmarks is not None:
        features = matcher.detailed_features
        by_landmarks = landmarks.match(features, start.to('cpu'), query.camera, pnp)

    located = [] if by_landmarks is None else [by_landmarks]
    return _first_right(by_renders, truth), _first_right(located, truth)


def _first_right(found: list[Matched], truth: Pose) -> tuple[Pose, Tensor] | None:
    """Pose and covariance of the first that is near the truth, (1,); None if none is."""
    for each in found:
        if not is_wrong(each.T_norm_cam, truth[0].to('cpu'))[0]:
            return each.T_norm_cam, each.covariance

    return None


def scales_of(estimates: list[Estimates]) -> Scales:
    """How many times covariances are too small, as usual where fewer than three poses tell."""

    def of(found: list[tuple[Pose, Pose, Tensor]], usual: float) -> float:
        if len(found) < FEWEST_RIGHT:
            return usual
        return covariance_scale(np.array([_nees(pose, truth, C) for truth, pose, C in found]))

    aligned = [(each.truth, *each.aligned) for each in estimates]
    matched = [(each.truth, *each.matched) for each in estimates if each.matched]
    located = [(each.truth, *each.by_landmarks) for each in estimates if each.by_landmarks]
    scales = Scales(
        of(aligned, 1.0),
        of(matched, USUAL_MATCHING_SCALE),
        of(located, USUAL_MATCHING_SCALE),
    )

    # what is known to be as uncertain as it is cannot become better than it is by agreeing
    several = [each for each in estimates if len(each.scaled(scales)) > 1]
    fused = [(each.truth, *fuse_all(each.scaled(scales))) for each in several]
    return scales._replace(fused=max(1.0, of(fused, 1.0)))


def _nees(found: Pose, truth: Pose, covariance: Tensor) -> float:
    """Of a pose, (1,), whose truth, (1,), is known, see `nees`."""
    error = found[0].to('cpu', torch.float64).offset_to(truth[0].to('cpu', torch.float64))
    return nees(error, covariance)


def covariance_scale(nees_values: np.ndarray) -> float:
    """How many times covariances are too small, from the NEES (N,) of poses, see `nees`.

    Their mean over its expectation, the 6 degrees of freedom, without those that ended beside the
    right minimum, which no covariance at the minimum explains.
    """
    explained = nees_values <= _MOST_NEES * np.median(nees_values)
    return float(nees_values[explained].mean()) / 6
