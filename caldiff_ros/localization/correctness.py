# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When a pose is right, and how well its covariance says how far off it is."""

from __future__ import annotations

import math

import torch
from scipy.stats import chi2
from torch import Tensor

from caldiff_ros.geometry import Pose

#: A pose farther than this from the truth (normalized units, or degrees) is wrong, and must not be
#: trusted.
RIGHT = (0.05, 10.0)


def is_wrong(poses: Pose, truth: Pose) -> Tensor:
    """Which of poses (P,) are too far from the truth, bool (P,)."""
    distance, angle_deg = RIGHT
    too_far = poses.translation_error(truth) > distance
    return too_far | (poses.rotation_error_deg(truth) > angle_deg)


def probability_of_right(covariance: Tensor) -> float:
    """How likely an error of this covariance, (6, 6) float64, leaves a pose right, see `RIGHT`.

    Of Gaussian errors in the parameters of `Pose.retract`: their squares are distributed nearly as
    chi-square with as many degrees of freedom as have a share in them (Satterthwaite 1946).
    """
    distance, angle_deg = RIGHT
    parts = (covariance[:3, :3], distance), (covariance[3:, 3:], math.radians(angle_deg))
    probabilities = []
    for part, bound in parts:
        mean = float(part.trace())
        degrees = mean**2 / float((part @ part).trace())
        probabilities.append(float(chi2.cdf(degrees * bound**2 / mean, degrees)))

    return min(probabilities)


def nees(error: Tensor, covariance: Tensor) -> float:
    """Normalized estimation error squared; 6 on average where the covariance is right.

    Args:
        error: of a pose, (6,) float64, in the parameters of the covariance.
        covariance: (6, 6) float64.
    """
    return float(error @ torch.linalg.solve(covariance, error))
