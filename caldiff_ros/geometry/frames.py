# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Map and normalized coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry.pose import Pose


@dataclass(frozen=True)
class Normalization:
    """Similarity between the map and the cube ``[-0.5, 0.5]^3`` of the paper (section 3.3).

    The cube is centred on the bounding box of the training camera centres and its side is the
    longest edge of that box: ``x_norm = (x_map - center) / side``.

    Attributes:
        center: centre of the cube in map coordinates.
        side: edge of the cube in the unit of the map.
    """

    center: tuple[float, float, float]
    side: float

    @classmethod
    def from_camera_centers(cls, centers: np.ndarray) -> Normalization:
        """Centres (N, 3) of the training cameras in the map.

        Raises:
            CaldiffError: if they are not finite or all coincide.
        """
        low = centers.min(axis=0)
        high = centers.max(axis=0)
        side = float((high - low).max())

        if not np.isfinite(side) or side <= 0:
            raise CaldiffError(
                f'the {len(centers)} training cameras span {side} map units, expected a finite '
                'positive extent; add training views from other places'
            )

        return cls(tuple(((low + high) / 2).tolist()), side)

    def _center_like(self, tensor: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.center, dtype=tensor.dtype, device=tensor.device)

    def points_to_norm(self, points_map: torch.Tensor) -> torch.Tensor:
        """Points (..., 3) from map to normalized coordinates."""
        return (points_map - self._center_like(points_map)) / self.side

    def points_to_map(self, points_norm: torch.Tensor) -> torch.Tensor:
        """Points (..., 3) from normalized to map coordinates."""
        return points_norm * self.side + self._center_like(points_norm)

    def to_norm(self, T_map_cam: Pose) -> Pose:
        """Poses from map to normalized coordinates; rotations do not change."""
        return Pose(T_map_cam.R, self.points_to_norm(T_map_cam.t))

    def to_map(self, T_norm_cam: Pose) -> Pose:
        """Poses from normalized to map coordinates; rotations do not change."""
        return Pose(T_norm_cam.R, self.points_to_map(T_norm_cam.t))
