# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Batched rigid transforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import roma
import torch
from torch import Tensor


def rotation_matrix(quaternion_wxyz: Tensor) -> Tensor:
    """Rotations (..., 3, 3) of quaternions (..., 4), w first, of any norm but zero."""
    xyzw = torch.nn.functional.normalize(quaternion_wxyz, dim=-1)[..., [1, 2, 3, 0]]
    return roma.unitquat_to_rotmat(xyzw)


@dataclass(frozen=True)
class Pose:
    """A batch of rigid transforms ``T_a_b``: they take coordinates of frame b to frame a.

    The poses of cameras in this package are ``T_map_cam`` or ``T_norm_cam`` with the camera in the
    optical convention (x right, y down, z forward).

    Attributes:
        R: rotation matrices, (..., 3, 3).
        t: translations, (..., 3), in the unit of frame a.
    """

    R: Tensor
    t: Tensor

    @classmethod
    def identity(cls, *shape: int, device: torch.device | str = 'cpu') -> Pose:
        """Identity transforms with batch shape ``shape``, float32."""
        eye = torch.eye(3, device=device).expand(*shape, 3, 3)
        return cls(eye.clone(), torch.zeros(*shape, 3, device=device))

    @classmethod
    def from_matrix(cls, matrix: Tensor | np.ndarray) -> Pose:
        """Homogeneous matrices (..., 4, 4) or (..., 3, 4); the dtype is kept."""
        matrix = torch.as_tensor(matrix)
        return cls(matrix[..., :3, :3], matrix[..., :3, 3])

    @classmethod
    def from_quaternion(cls, quaternion_wxyz: Tensor, translation: Tensor) -> Pose:
        """Quaternions (..., 4), w first, of any norm but zero, and translations (..., 3)."""
        return cls(rotation_matrix(quaternion_wxyz), translation)

    @classmethod
    def cat(cls, poses: Sequence[Pose]) -> Pose:
        """Concatenate along the first batch dimension."""
        return cls(torch.cat([pose.R for pose in poses]), torch.cat([pose.t for pose in poses]))

    @property
    def shape(self) -> torch.Size:
        """Batch shape."""
        return self.t.shape[:-1]

    def __len__(self) -> int:
        return self.t.shape[0]

    def __getitem__(self, index) -> Pose:
        return Pose(self.R[index], self.t[index])

    def to(self, *args, **kwargs) -> Pose:
        """Move or cast as `torch.Tensor.to` does."""
        return Pose(self.R.to(*args, **kwargs), self.t.to(*args, **kwargs))

    def matrix(self) -> Tensor:
        """Homogeneous matrices, (..., 4, 4)."""
        bottom = self.t.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*self.shape, 1, 4)
        return torch.cat([torch.cat([self.R, self.t[..., None]], dim=-1), bottom], dim=-2)

    def quaternion_wxyz(self) -> Tensor:
        """Unit quaternions (..., 4), w first and never negative (q and -q are one rotation)."""
        quaternion = roma.rotmat_to_unitquat(self.R)[..., [3, 0, 1, 2]]
        return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)

    def inverse(self) -> Pose:
        """``T_b_a``."""
        R_inv = self.R.transpose(-1, -2)
        return Pose(R_inv, -(R_inv @ self.t[..., None])[..., 0])

    def __matmul__(self, other: Pose) -> Pose:
        """``T_a_b @ T_b_c = T_a_c``."""
        return Pose(self.R @ other.R, self.transform(other.t))

    def transform(self, points: Tensor) -> Tensor:
        """Points (..., 3) of frame b in frame a; batch shapes broadcast."""
        return (self.R @ points[..., None])[..., 0] + self.t

    def retract(self, delta: Tensor) -> Pose:
        """Move on SO(3) x R^3 by ``delta`` (..., 6): translation in frame a, then rotation vector.

        The rotation vector (radians) is in the axes of frame b and applied on the right, so that
        a camera turns about its own centre: rotation and translation stay decoupled.
        """
        return Pose(self.R @ roma.rotvec_to_rotmat(delta[..., 3:]), self.t + delta[..., :3])

    def offset_to(self, other: Pose) -> Tensor:
        """The parameters (..., 6) of `retract` that lead to another pose: its inverse."""
        rotvec = roma.rotmat_to_rotvec(self.R.transpose(-1, -2) @ other.R)
        return torch.cat([(other.t - self.t).expand_as(rotvec), rotvec], dim=-1)

    def translation_error(self, other: Pose) -> Tensor:
        """Euclidean distances between the origins, (...), in the unit of frame a."""
        return (self.t - other.t).norm(dim=-1)

    def rotation_error_deg(self, other: Pose) -> Tensor:
        """Geodesic angles between the rotations, (...), in degrees."""
        return torch.rad2deg(roma.rotmat_geodesic_distance(self.R, other.R))
