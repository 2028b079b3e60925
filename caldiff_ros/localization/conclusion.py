# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From refined poses to an answer that says what it is worth."""

from __future__ import annotations

import math

import torch

from caldiff_ros.localization.answer import Answer, Hypothesis, Status
from caldiff_ros.localization.confidence import covariance_map
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.stages import Refined


def conclude(refined: Refined, run: Run) -> Answer:
    """The best of the refined poses, judged by the map's calibration."""
    run.tell('answer', 1, 1, refined.T_norm_cam[:1], refined.errors[:1])
    poses, errors = run.map.to_map(refined.T_norm_cam), refined.errors.tolist()
    hypotheses = [Hypothesis(pose, error) for pose, error in zip(poses, errors, strict=True)]
    error, threshold = errors[0], run.map.calibration.threshold
    if not math.isfinite(error):
        return Answer(
            Status.FAILED, 'The refinement gave no finite pose.', timings=dict(run.timings)
        )
    trusted = error <= threshold
    verdict = 'within' if trusted else 'beyond'
    covariance = covariance_map(refined.information, refined.T_norm_cam[0], run.map.unit)
    turn = torch.eye(6).double()
    turn[:3, :3] = turn[3:, 3:] = torch.as_tensor(run.map.T_map_scene[:3, :3])
    return Answer(
        status=Status.LOCALIZED if trusted else Status.NOT_LOCALIZED,
        message=f'The photometric error {error:.4f} is {verdict} the {threshold:.4f} up to which '
        f'poses in {run.map.name} are trusted.',
        T_map_cam=poses[0],
        covariance=(turn @ covariance @ turn.T).numpy(),
        confidence=run.map.calibration.confidence(error),
        photometric_error=error,
        hypotheses=hypotheses,
        timings=dict(run.timings),
    )
