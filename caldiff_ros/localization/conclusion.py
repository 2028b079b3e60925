# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From refined poses to an answer that says what it is worth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from caldiff_ros.localization.answer import Answer, Hypothesis, Status
from caldiff_ros.localization.comparison_kernels import BLOCK_PX
from caldiff_ros.localization.correctness import probability_of_right
from caldiff_ros.localization.covariance import covariance_in_map, spread_covariance
from caldiff_ros.localization.focal_length import FocalFit, fit_focal_length
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.localization.presets import LocalizerConfig
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.selection import SAME_PLACE, SelectionConfig, near, select
from caldiff_ros.localization.stages import Refined

#: Confidence from which a pose is rather right than wrong.
_LIKELY = 0.5


def conclude(refined: Refined, query: Query, config: LocalizerConfig, run: Run) -> Answer:
    """The best of the refined poses, judged by the map's calibration."""
    run.notify('answer', 1, 1, T_norm_cam=refined.T_norm_cam[:1], errors=refined.evidence.error[:1])
    if not math.isfinite(refined.evidence.error[0]):
        return Answer(
            Status.FAILED, 'The refinement gave no finite pose.', timings=dict(run.timings)
        )

    hypotheses = _distinct(refined, run)
    # in the right place, and yet not to be trusted if it may be too far off there
    most = probability_of_right(refined.covariance)
    best = replace(hypotheses[0], confidence=min(hypotheses[0].confidence, most))
    hypotheses[0] = best
    confidence = best.confidence
    status, message = _verdict(hypotheses, config, run.map)

    # of a place that is hardly the right one, the image says nothing about the camera
    likely = confidence >= _LIKELY
    if status is Status.LOCALIZED and likely and config.check_focal_length:
        with run.stage('refinement'):
            fit = fit_focal_length(run.field, query, refined.T_norm_cam[:1])

        if fit.contradicts:
            status, message = Status.NOT_LOCALIZED, _about_focal_length(fit, run.map.name)
            confidence = 0.0

    return Answer(
        status=status,
        message=message,
        T_map_cam=best.T_map_cam,
        covariance=_covariance(refined, query, run),
        confidence=confidence,
        photometric_error=best.photometric_error,
        hypotheses=hypotheses,
        timings=dict(run.timings),
        rays=run.rays,
    )


def _distinct(refined: Refined, run: Run) -> list[Hypothesis]:
    """The refined poses without those that are near a better one."""
    poses = refined.T_norm_cam
    evidence = refined.evidence
    distance, angle_deg = SAME_PLACE
    distinct = SelectionConfig(count=len(poses), min_distance=distance, min_angle_deg=angle_deg)
    kept = select(poses, evidence.error, distinct)
    matrices, evidence = run.map.to_map(poses[kept]), evidence[kept]
    confidences = run.map.calibration.confidences(evidence)

    return [
        Hypothesis(*parts)
        for parts in zip(matrices, evidence.error.tolist(), confidences, strict=True)
    ]


def _covariance(refined: Refined, query: Query, run: Run) -> np.ndarray:
    """Of the best pose in the map, (6, 6), see `Answer`."""
    poses = refined.T_norm_cam
    best = refined.T_norm_cam[0]
    scale = run.map.calibration.covariance_scale
    here = near(poses, best, *SAME_PLACE)
    n_observations = query.seen.sum() / (BLOCK_PX**2 * max(scale, 1.0))
    spread = spread_covariance(poses[here], refined.evidence.error[here], n_observations)
    covariance = covariance_in_map(refined.covariance + spread, best, run.map.unit)
    turn = torch.eye(6).double()
    turn[:3, :3] = turn[3:, 3:] = torch.as_tensor(run.map.T_map_scene[:3, :3])

    return (turn @ covariance @ turn.T).numpy()


def _verdict(
    hypotheses: list[Hypothesis], config: LocalizerConfig, localization_map: LocalizationMap
) -> tuple[Status, str]:
    """Status and the sentence that explains it."""
    name = localization_map.name
    if localization_map.calibration.problem:
        return Status.NOT_LOCALIZED, (
            f'No pose in {name} is trusted, as its map is not calibrated: '
            f'{localization_map.calibration.problem}.'
        )

    best = hypotheses[0]
    error = best.photometric_error
    confidence = best.confidence

    if confidence < config.min_confidence:
        return Status.NOT_LOCALIZED, (
            f'The best pose in {name} has confidence {confidence:.2f} (photometric error '
            f'{error:.4f}), below the {config.min_confidence:g} from which poses are trusted.'
        )

    rivals = [
        other
        for other in hypotheses[1:]
        if other.confidence >= config.min_confidence
        and other.photometric_error <= config.ambiguity_ratio * error
    ]
    if rivals:
        return Status.AMBIGUOUS, (
            f'{1 + len(rivals)} places in {name} look alike from here: photometric errors '
            f'{error:.4f} and {rivals[0].photometric_error:.4f}.'
        )

    return Status.LOCALIZED, (
        f'The pose in {name} has confidence {confidence:.2f} (photometric error {error:.4f}).'
    )


def _about_focal_length(fit: FocalFit, name: str) -> str:
    return (
        f'The image fits {name} better with a focal length {fit.factor:.2f} times the one given, '
        'so the pose would be wrong; check the intrinsics of the camera.'
    )
