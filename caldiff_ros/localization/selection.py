# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Subset selection by photometric error (section 3.6)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from caldiff_ros.geometry import Pose

#: Poses nearer than this (normalized units, and degrees) are one answer.
SAME_PLACE = (0.05, 10.0)


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """Which particles are refined."""

    count: int = 5
    """B, the poses that go on."""
    longer_side: int | None = None
    """The error is measured on the image reduced to this many pixels; None takes all of it."""
    min_distance: float = 0.0
    """Poses nearer to a better one than this (normalized units, both this and ``min_angle_deg``)
    are its copies and dropped; 0 keeps copies, as the paper does."""
    min_angle_deg: float = 0.0
    """See ``min_distance``, in degrees."""
    screening_side: int | None = None
    """Before that, all poses are compared on the image reduced to this many pixels, and only the
    best ``screened`` go on; None lets all of them go on."""
    screened: int = 25
    """See ``screening_side``."""


def near(poses: Pose, pose: Pose, distance: float, angle_deg: float) -> Tensor:
    """Which of poses are nearer to a pose than both bounds, bool; batch shapes broadcast."""
    return (poses.translation_error(pose) < distance) & (poses.rotation_error_deg(pose) < angle_deg)


def select(poses: Pose, errors: Tensor, config: SelectionConfig) -> Tensor:
    """Indices of the best poses, best first, at most ``config.count``.

    Args:
        poses: particles (P,).
        errors: their photometric errors (P,).
        config: how many, and how different from each other.
    """
    # on a GPU each question would keep the host waiting
    device, errors, poses = errors.device, errors.to('cpu'), poses.to('cpu')
    order = errors.argsort(stable=True)
    if config.min_distance == 0 or config.min_angle_deg == 0:
        return order[: config.count].to(device)

    ordered = poses[order]
    others = Pose(ordered.R[:, None], ordered.t[:, None])
    copies = near(others, ordered, config.min_distance, config.min_angle_deg).numpy()
    chosen: list[int] = []
    for i in range(len(order)):
        if len(chosen) == config.count:
            break
        if not copies[chosen, i].any():
            chosen.append(i)

    return order[chosen].to(device)
