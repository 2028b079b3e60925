# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Direct alignment at one resolution by Levenberg-Marquardt on image gradients.

Each iteration renders colour and depth at the current pose. The depth says how every pixel moves
with the pose, the image gradient how its colour changes with that, so no gradient through the field
is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.comparison import Level, Linearization, Target
from caldiff_ros.localization.query import Query, gpu_kernels
from caldiff_ros.nerf.field import RadianceField

#: Small: turning a camera and shifting it look alike, and damping stalls along that valley.
FIRST_DAMPING = 1e-5
#: How the damping falls after a step that was better and rises after one that was not.
DAMPING_FALL, DAMPING_RISE = 4, 16
DAMPING_RANGE = (FIRST_DAMPING / 100, 1e6)
#: A step moves a camera by this at most, in normalized units and in radians.
MAX_SHIFT, MAX_TURN_RAD = 0.1, 0.35
#: Added to the curvature of every parameter: a share of the largest, which is at least so much.
FLOOR, LEAST_CURVATURE = 1e-9, 1e-12


@dataclass(frozen=True)
class Aligned:
    """Result of an alignment.

    Attributes:
        T_norm_cam: poses (P,).
        cost: robust cost per pixel at the finest level visited, (P,).
    """

    T_norm_cam: Pose
    cost: Tensor


@torch.no_grad()
def align_level(
    field: RadianceField,
    query: Query,
    poses: Pose,
    level: Level,
    on_step: Callable[[int, Pose], None] = lambda step, poses: None,
) -> Aligned:
    """Align poses (P,) with a query of the level; a step that makes it worse is undone."""
    if poses.t.is_cuda and gpu_kernels(poses.t.device) is not None:
        from caldiff_ros.localization.gpu_alignment import align_on_gpu

        return Aligned(*align_on_gpu(field, query, poses, level=level, on_step=on_step))

    target = Target.of(query, level.blur_px)
    R = poses.R.clone()
    t = poses.t.clone()
    cost = t.new_full((len(t),), torch.inf)
    damping = t.new_full((len(t),), FIRST_DAMPING)
    H = t.new_zeros(len(t), 6, 6)
    g = t.new_zeros(len(t), 6)

    # where to look next, and whose poses these are
    trial = poses
    active = torch.arange(len(t), device=t.device)

    for step in range(level.iterations + 1):
        # 1. Compare what is seen from the trial poses with the query
        rendering = field.render(trial, query.camera)
        here = Linearization.at(trial, rendering, target, level)

        # 2. Keep those that are better than before
        better = here.cost < cost[active]
        R[active] = torch.where(better[:, None, None], trial.R, R[active])
        t[active] = torch.where(better[:, None], trial.t, t[active])
        cost[active] = torch.where(better, here.cost, cost[active])
        H[active] = torch.where(better[:, None, None], here.curvature, H[active])
        g[active] = torch.where(better[:, None], here.gradient, g[active])
        on_step(step, Pose(R.clone(), t.clone()))

        # 3. Trust the model more where it was right, and less where it was not
        changed = torch.where(
            better, damping[active] / DAMPING_FALL, damping[active] * DAMPING_RISE
        )
        damping[active] = changed.clamp(*DAMPING_RANGE)

        # 4. Solve for the next trial; who moves by less than a step worth taking takes it unseen,
        # and is done
        delta = _solve(H[active], g[active], damping[active])
        trial = Pose(R[active], t[active]).retract(delta)
        small = query.camera.fx * delta.abs().amax(-1) < level.min_step_px
        R[active] = torch.where(small[:, None, None], trial.R, R[active])
        t[active] = torch.where(small[:, None], trial.t, t[active])
        trial, active = trial[~small], active[~small]
        if len(active) == 0:
            break

    return Aligned(Pose(R, t), cost)


def _solve(H: Tensor, g: Tensor, damping: Tensor) -> Tensor:
    """Levenberg-Marquardt step, (P, 6), bounded to a sensible move."""
    diagonal = H.diagonal(dim1=-2, dim2=-1)
    floor = FLOOR * diagonal.amax(-1, keepdim=True).clamp_min(LEAST_CURVATURE)
    damped = H + torch.diag_embed(damping[:, None] * diagonal + floor)
    solved, _ = torch.linalg.solve_ex(damped.double(), g.double()[..., None])
    delta = -solved[..., 0].to(g.dtype)
    longest = torch.maximum(
        delta[:, :3].norm(dim=-1) / MAX_SHIFT, delta[:, 3:].norm(dim=-1) / MAX_TURN_RAD
    )

    return delta / longest.clamp_min(1)[:, None]
