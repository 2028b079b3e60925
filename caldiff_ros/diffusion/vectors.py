# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses as the vectors that the diffusion model moves."""

from __future__ import annotations

import torch
from torch import Tensor

from caldiff_ros.geometry import Pose


def pose_vectors(T_norm_cam: Pose) -> Tensor:
    """Poses (P,) as vectors (P, 7); of the two quaternions of a rotation, the one with w >= 0."""
    return torch.cat([T_norm_cam.t, T_norm_cam.quaternion_wxyz()], dim=-1)


def poses_of(vectors: Tensor) -> Pose:
    """Vectors (P, 7) as poses (P,); the quaternions need no unit norm."""
    return Pose.from_quaternion(vectors[..., 3:], vectors[..., :3])
