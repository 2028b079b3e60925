# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of the pose beforehand, where anything is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.map import LocalizationMap


@dataclass(frozen=True)
class Prior:
    """A guess of the camera's pose, which may be wrong: part of the particles stay uniform.

    Attributes:
        T_map_cam: pose of the optical camera in the map, (4, 4).
        covariance: (6, 6) of (x, y, z, rotation about the map's x, y, z), in map units and radians;
            symmetric, no negative eigenvalue.

    Raises:
        CaldiffError: if pose or covariance are not finite, or not a pose and a covariance.
    """

    T_map_cam: np.ndarray
    covariance: np.ndarray

    def __post_init__(self) -> None:
        T = self.T_map_cam
        covariance = self.covariance
        R = np.nan_to_num(T[:3, :3])
        rigid = np.abs(R @ R.T - np.eye(3)).max() < 1e-3 and np.linalg.det(R) > 0

        if not (np.isfinite(T).all() and rigid):
            raise CaldiffError(
                f'the prior pose {np.asarray(T).tolist()} is no rigid transform of finite numbers, '
                'expected one; check who sends it'
            )

        tolerance = 1e-6 * max(1.0, float(np.abs(np.nan_to_num(covariance)).max()))
        if (
            not np.isfinite(covariance).all()
            or np.abs(covariance - covariance.T).max() > tolerance
            or np.linalg.eigvalsh(covariance).min() < -tolerance
        ):
            raise CaldiffError(
                f'the covariance of the prior has the diagonal {np.diag(covariance).tolist()}, '
                'expected a symmetric matrix of finite numbers without negative eigenvalues; check '
                'who sends it'
            )

    def sample(self, n: int, localization_map: LocalizationMap, generator: torch.Generator) -> Pose:
        """Poses T_norm_cam (n,), the first at the mean, on the device of the map."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = torch.from_numpy(vectors * np.sqrt(values.clip(min=0)))
        delta = torch.randn(n, 6, generator=generator, dtype=torch.float64) @ root.T
        delta[:1] = 0
        mean = Pose.from_matrix(np.asarray(self.T_map_cam, dtype=np.float64))
        turned = Pose(mean.R.expand(n, 3, 3), torch.zeros(n, 3).double())

        # the rotation is about the map's axes: it multiplies from the left
        about_map = (
            Pose.identity(n)
            .to(torch.float64)
            .retract(torch.cat([torch.zeros(n, 3).double(), delta[:, 3:]], dim=1))
        )
        R = (about_map @ turned).R
        return localization_map.to_norm(Pose(R, mean.t + delta[:, :3]).matrix().numpy())
