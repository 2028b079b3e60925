# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What right and wrong answers look like in a map, and how sure an answer is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.field import RadianceField

#: How much larger the error of an image is that the field was not trained on.
_UNSEEN = 2.0


@dataclass(frozen=True)
class Calibration:
    """Photometric errors of known poses in a map.

    Attributes:
        right_error: typical error of a new image at its right pose.
        wrong_error: error of the best of many wrong poses: the 10th percentile over images.
    """

    right_error: float
    wrong_error: float

    @property
    def threshold(self) -> float:
        """Error up to which a pose is trusted: halfway, in the logarithm."""
        return math.sqrt(self.right_error * self.wrong_error)

    def confidence(self, error: float) -> float:
        """0..1: one half at the threshold, 0.9 at the error of right poses."""
        if not math.isfinite(error):
            return 0.0
        slope = math.log(9.0) / max(math.log(self.threshold / self.right_error), 0.1)
        exponent = slope * math.log(max(error, 1e-12) / self.threshold)
        return 1 / (1 + math.exp(min(exponent, 700.0)))


def calibrate(field: RadianceField, queries: list[Query], true: Pose, wrong: Pose) -> Calibration:
    """Measure photometric errors of images with known poses.

    Args:
        field: the field.
        queries: images of the field's training.
        true: their poses (Q,).
        wrong: poses (W,) all over the scene; for every image, those next to its own do not count.
    """
    right_errors, wrong_errors = [], []
    for i, query in enumerate(queries):
        right_errors.append(query.photometric_error(field, true[i : i + 1])[0])
        far = (wrong.translation_error(true[i]) > 0.1) | (wrong.rotation_error_deg(true[i]) > 20)
        if bool(far.any()):
            wrong_errors.append(query.level(50).photometric_error(field, wrong[far]).min())
    right = _UNSEEN * torch.stack(right_errors).quantile(0.9)
    wrong_error = torch.stack(wrong_errors).quantile(0.1) if wrong_errors else 10 * right
    return Calibration(float(right), float(torch.maximum(wrong_error, 1.5 * right)))


def covariance_map(information: Tensor, T_norm_cam: Pose, unit: float) -> Tensor:
    """Covariance (6, 6) float64 of position and fixed-axes rotation in the training frame.

    Args:
        information: (6, 6), in the parameters of `Pose.retract`, normalized units and radians.
        T_norm_cam: the pose, batch shape ().
        unit: length of a normalized unit.
    """
    diagonal = information.double().diagonal()
    floor = 1e-9 * float(diagonal.max()) + 1e-9
    covariance = torch.linalg.inv(information.double() + floor * torch.eye(6).double())
    # retract turns about the camera's axes; REP-103 wants the fixed axes of the map
    turn = torch.eye(6).double()
    turn[:3, :3] *= unit
    turn[3:, 3:] = T_norm_cam.R.double().cpu()
    covariance = turn @ covariance.cpu() @ turn.T
    return (covariance + covariance.T) / 2
