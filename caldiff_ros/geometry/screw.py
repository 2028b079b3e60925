# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exponential and logarithm of SE(3): rigid motions as screws."""

from __future__ import annotations

import roma
import torch
from torch import Tensor

from caldiff_ros.geometry.pose import Pose

#: Below this angle (radians) the series is more accurate than the closed form.
_SMALL = 1e-4


def screw_exp(twist: Tensor) -> Pose:
    """Poses with batch shape (...) from twists (..., 6): translational, then rotational part."""
    v, w = twist[..., :3], twist[..., 3:]
    angle = w.norm(dim=-1, keepdim=True)
    safe = angle.clamp_min(_SMALL)
    small = angle < _SMALL
    a = torch.where(small, torch.full_like(angle, 1 / 2), (1 - safe.cos()) / safe**2)
    b = torch.where(small, torch.full_like(angle, 1 / 6), (safe - safe.sin()) / safe**3)
    wv = torch.linalg.cross(w, v)

    return Pose(roma.rotvec_to_rotmat(w), v + a * wv + b * torch.linalg.cross(w, wv))


def screw_log(pose: Pose) -> Tensor:
    """Twists (..., 6) of poses (...), the inverse of `screw_exp` for angles up to pi."""
    w = roma.rotmat_to_rotvec(pose.R)
    angle = w.norm(dim=-1, keepdim=True)
    safe = angle.clamp_min(_SMALL)
    closed = 1 / safe**2 - 1 / (2 * safe * (safe / 2).tan())
    c = torch.where(angle < _SMALL, torch.full_like(angle, 1 / 12), closed)
    wt = torch.linalg.cross(w, pose.t)

    return torch.cat([pose.t - wt / 2 + c * torch.linalg.cross(w, wt), w], dim=-1)
