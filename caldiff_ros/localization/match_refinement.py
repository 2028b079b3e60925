# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Refinement by matches of features and the photometric error together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.alignment import AlignmentConfig, align
from caldiff_ros.localization.confidence import Calibration
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
    finer = alignment.finer(matching.aligned_from)
    renders = Matcher(run.field, query, matching)
    poses: list[Pose] = []
    covariances: list[Tensor] = []
    most_inliers = 0

    for found in _found(renders, aligned, further, matching, run):
        if len(poses) == matching.most_poses or 2 * found.matched.inliers < most_inliers:
            break
        if bool(in_place_of(found.matched.T_norm_cam.to(query.device), poses)[0]):
            continue

        # 1. What the matches say
        matched = _until_still(found, renders, run.map.calibration)
        most_inliers = max(most_inliers, matched.inliers)
        of_matches = matched.T_norm_cam.to(query.device)

        # 2. What the photometric error says from there
        pose = align(run.field, query, of_matches, finer).T_norm_cam[:1]
        rendering = run.field.render(pose, query.camera)
        scale = run.map.calibration.covariance_scale
        covariance = scale * curvature_covariance(rendering, query, pose)

        # 3. Both, if they speak of the same place; else the alignment has left it, and many matches
        # are right
        if bool(near(pose, of_matches[0], *SAME_PLACE)[0]):
            pose, covariance = fuse(pose, covariance, of_matches, matched.covariance)
            covariance = run.map.calibration.fused_scale * covariance
        elif matched.inliers >= matching.sure_inliers:
            pose, covariance = of_matches, matched.covariance
        poses.append(pose)
        covariances.append(covariance)

    return Fused(poses, covariances, most_inliers >= matching.sure_inliers)


@dataclass(frozen=True)
class _Found:
    """What matches agree on, with a render or with the map's landmarks."""

    matched: Matched
    by_landmarks: bool


def _until_still(found: _Found, renders: Matcher, calibration: Calibration) -> Matched:
    """Matches with renders from there, once from where exact landmarks led, and both together.

    Its covariance is as large as the calibration says.
    """
    start = found.matched
    if not found.by_landmarks:
        return renders.until_still(start).scaled(calibration.matching_scale)

    start = start.scaled(calibration.landmark_scale)
    matched = renders.match_near(start.T_norm_cam)
    if matched is None:
        return start

    matched = matched.scaled(calibration.matching_scale)
    if not bool(near(matched.T_norm_cam, start.T_norm_cam[0], *SAME_PLACE)[0]):
        return max(matched, start, key=lambda each: each.inliers)

    pose, covariance = fuse(
        start.T_norm_cam, start.covariance, matched.T_norm_cam, matched.covariance
    )
    return Matched(pose, max(matched.inliers, start.inliers), covariance)


def _found(
    renders: Matcher, aligned: Pose, further: Pose | None, config: MatchingConfig, run: Run
) -> list[_Found]:
    """What matching finds, most inliers first; what takes longer only if it has to."""
    landmarks, exact, camera = run.map.landmarks, run.map.exact_landmarks, run.map.camera
    found: list[_Found] = []

    def is_sure() -> bool:
        return any(each.matched.inliers >= config.sure_inliers for each in found)

    def look_for_landmarks(poses: Pose) -> None:
        for i in range(len(poses)):
            if exact is None or is_sure():
                break
            pose = poses[i : i + 1].to('cpu')
            matched = exact.match(renders.detailed_features, pose, camera, config.pnp)
            if matched is not None:
                found.append(_Found(matched, by_landmarks=True))

    def render(poses: Pose) -> None:
        if len(poses) and not is_sure():
            found.extend(_Found(each, by_landmarks=False) for each in renders.match(poses))

    def propose() -> Pose:
        """Poses by the votes of landmarks; none if they are not needed."""
        if further is None or landmarks is None or is_sure():
            return aligned[:0]
        proposed = landmarks.propose(renders.features, camera, config.pnp)[: config.proposals]
        poses = [each.T_norm_cam.to(aligned.t.device) for each in proposed]
        return Pose.cat([aligned[:0], *poses])

    # exact landmarks take less time than renders
    look_for_landmarks(aligned)
    if exact is None:
        render(aligned)
        proposed = propose()
    else:
        proposed = propose()
        look_for_landmarks(proposed)
        render(aligned)
    render(proposed)
    if further is not None:
        look_for_landmarks(further)
        render(further)

    return sorted(found, key=lambda each: -each.matched.inliers)
