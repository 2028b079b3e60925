# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far a refined pose may be off: the curvature of the error, and other poses that do as well.

Covariances are (6, 6) float64 on the CPU in the parameters of `Pose.retract`, normalized units and
radians, unless their name says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.alignment import CALIBRATION_ALIGNMENT
from caldiff_ros.localization.comparison import Linearization, Target
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.field import Rendering

#: Curvature that counts as none, as a share of the largest. Along what does not change the render
#: the variance is then 1 (normalized units, radians), which is anywhere in the map, and not 0.
_NOTHING = 1e-9


def curvature_covariance(rendering: Rendering, query: Query, pose: Pose) -> Tensor:
    """Covariance of the pose, (1,), that minimizes the photometric error; its render is given.

    The sandwich H^-1 B H^-1 with the curvature H = J^T W J, and B from the gradient of each block
    of pixels (cluster-robust, White 1980). Residuals of a radiance field come in patches; as if
    every pixel were independent, H^-1 alone promises far too much.
    """
    finest = CALIBRATION_ALIGNMENT.levels[-1]
    target = Target.of(query, finest.blur_px)
    here = Linearization.at(pose, rendering, target, finest)
    blocks = here.scores[0].flatten(0, 1).T.double().cpu()
    H = here.curvature[0].double().cpu()
    nothing = _NOTHING * (1 + H.diagonal().max())
    H_inv = torch.linalg.inv(H + nothing * torch.eye(6).double())

    return H_inv @ (blocks @ blocks.T + nothing**2 * torch.eye(6).double()) @ H_inv.T


def fuse(a: Pose, covariance_a: Tensor, b: Pose, covariance_b: Tensor) -> tuple[Pose, Tensor]:
    """Two estimates of a pose, (1,), each weighed by its information, and the covariance of that.

    Their errors are taken to be independent. Where they disagree by more than their covariances
    explain, that of both is as much larger (Birge 1932): a field that is wrong leads them to
    different poses.
    """
    information_a, information_b = map(torch.linalg.inv, (covariance_a, covariance_b))
    covariance = torch.linalg.inv(information_a + information_b)
    b = b.to('cpu', torch.float64)
    to_a = b.offset_to(a.to('cpu', torch.float64))[0]
    pose = b.retract((covariance @ information_a @ to_a)[None])
    disagreement = float(to_a @ torch.linalg.solve(covariance_a + covariance_b, to_a)) / len(to_a)

    return pose.to(a.t), max(1.0, disagreement) * covariance


def fuse_all(estimates: Sequence[tuple[Pose, Tensor]]) -> tuple[Pose, Tensor]:
    """`fuse` of at least one, the last two first."""
    *others, (pose, covariance) = estimates
    for other, its_covariance in reversed(others):
        pose, covariance = fuse(other, its_covariance, pose, covariance)
    return pose, covariance


def spread_covariance(poses: Pose, errors: Tensor, n_observations: float) -> Tensor:
    """Scatter of poses (P,) about the first of them, each as likely as its error says.

    Args:
        poses: of one place, best first.
        errors: their photometric errors (P,).
        n_observations: independent ones in the image; with this many residuals of unknown variance,
            a pose is (best error / its error)^(n / 2) times as likely as the best.
    """
    poses = poses.to('cpu', torch.float64)
    delta = poses[0].offset_to(poses)
    likelihood = (errors[0] / errors).double().cpu() ** (n_observations / 2)
    weights = likelihood / likelihood.sum()

    return delta.T @ (weights[:, None] * delta)


def covariance_in_map(covariance: Tensor, T_norm_cam: Pose, unit: float) -> Tensor:
    """Covariance of position and fixed-axes rotation in the training frame, (6, 6) float64.

    Args:
        covariance: in the parameters of `Pose.retract`, normalized units and radians.
        T_norm_cam: the pose, batch shape ().
        unit: length of a normalized unit.
    """
    # retract turns about the camera's axes; REP-103 wants the fixed axes of the map
    turn = torch.eye(6).double()
    turn[:3, :3] *= unit
    turn[3:, 3:] = T_norm_cam.R.double().cpu()
    covariance = turn @ covariance @ turn.T

    return (covariance + covariance.T) / 2
