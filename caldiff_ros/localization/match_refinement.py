# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Refinement by matches of features and the photometric error together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.alignment import AlignmentConfig, align
from caldiff_ros.localization.covariance import curvature_covariance, fuse
from caldiff_ros.localization.matching import Matcher, MatchingConfig
from caldiff_ros.localization.pnp import Matched
from caldiff_ros.localization.presets import LocalizerConfig
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.selection import SAME_PLACE, near


@dataclass(frozen=True)
class Fused:
    """Poses of different places, most inliers first.

    Attributes:
        poses: (1,) each.
        covariances: of each, in the parameters of `Pose.retract`, (6, 6) float64.
        sure: whether so many matches agree that other poses without any are refuted.
    """

    poses: list[Pose]
    covariances: list[Tensor]
    sure: bool

    def unrefuted(self, others: Pose) -> list[Pose]:
        """Of poses (P,) those that remain possible, and are not in the place of any here."""
        if self.sure:
            return []

        return [others[~in_place_of(others, self.poses)]]


def in_place_of(poses: Pose, others: list[Pose]) -> Tensor:
    """Which of poses (P,) are in the place of one of others, (1,) each, bool (P,)."""
    found = torch.zeros(len(poses), dtype=torch.bool, device=poses.t.device)
    for other in others:
        found |= near(poses, other[0], *SAME_PLACE)
    return found


def refine_by_matches(
    aligned: Pose, further: Pose | None, query: Query, config: LocalizerConfig, run: Run
) -> Fused:
    """What matches of features and the photometric error agree on.

    Each is weighed by its information: where walls are bare the photometric error knows more, and
    where the field is weak the matches do.

    Args:
        aligned: poses (P,) to start from, best first.
        further: poses to start from where those lead nowhere, after the proposals of the map's
            landmarks; None if there is no need for any.
        query: the image.
        config: of the localization.
        run: the localization.
    """
    matching, alignment = config.matching, config.refinement
    assert matching is not None and isinstance(alignment, AlignmentConfig)
    matcher = Matcher(run.field, query, matching)
    finer = alignment.finer(matching.aligned_from)
    scales = run.map.calibration.covariance_scale, run.map.calibration.matching_scale
    poses: list[Pose] = []
    covariances: list[Tensor] = []
    most_inliers = 0

    for matched in _found(matcher, aligned, further, matching, run):
        if len(poses) == matching.most_poses or 2 * matched.inliers < most_inliers:
            break
        if bool(in_place_of(matched.T_norm_cam.to(query.device), poses)[0]):
            continue

        # 1. What the matches say
        matched = matcher.until_still(matched)
        most_inliers = max(most_inliers, matched.inliers)
        of_matches = matched.T_norm_cam.to(query.device)

        # 2. What the photometric error says from there
        pose = align(run.field, query, of_matches, finer).T_norm_cam[:1]
        rendering = run.field.render(pose, query.camera)
        covariance = scales[0] * curvature_covariance(rendering, query, pose)

        # 3. Both, if they speak of the same place; else the alignment has left it, and many matches
        # are right
        if bool(near(pose, of_matches[0], *SAME_PLACE)[0]):
            pose, covariance = fuse(pose, covariance, of_matches, scales[1] * matched.covariance)
        elif matched.inliers >= matching.sure_inliers:
            pose, covariance = of_matches, scales[1] * matched.covariance
        poses.append(pose)
        covariances.append(covariance)

    return Fused(poses, covariances, most_inliers >= matching.sure_inliers)


def _found(
    matcher: Matcher, aligned: Pose, further: Pose | None, config: MatchingConfig, run: Run
) -> list[Matched]:
    """What matching finds, most inliers first; from further poses only if it has to."""
    found = matcher.match(aligned)

    def is_sure() -> bool:
        return any(matched.inliers >= config.sure_inliers for matched in found)

    landmarks = run.map.landmarks
    if further is not None and landmarks is not None and not is_sure():
        camera = run.map.camera
        proposed = landmarks.propose(matcher.features, camera, config.pnp)[: config.proposals]
        if proposed:
            poses = Pose.cat([each.T_norm_cam for each in proposed])
            found += matcher.match(poses.to(aligned.t.device))

    if further is not None and not is_sure():
        found += matcher.match(further)

    return sorted(found, key=lambda matched: -matched.inliers)
