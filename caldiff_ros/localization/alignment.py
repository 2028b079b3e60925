# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Direct alignment by Levenberg-Marquardt on image gradients, from coarse to fine.

Each iteration renders colour and depth at the current pose. The depth says how every pixel moves
with the pose, the image gradient how its colour changes with that, so no gradient through the field
is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.comparison import Level, Linearization, Target
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.selection import SelectionConfig, select
from caldiff_ros.nerf.field import RadianceField

#: Small: turning a camera and shifting it look alike, and damping stalls along that valley.
_FIRST_DAMPING = 1e-5
#: How the damping falls after a step that was better and rises after one that was not.
_DAMPING_FALL, _DAMPING_RISE = 4, 16
_DAMPING_RANGE = (_FIRST_DAMPING / 100, 1e6)
#: A step moves a camera by this at most, in normalized units and in radians.
_MAX_SHIFT, _MAX_TURN_RAD = 0.1, 0.35


#: The size that is fine enough for most maps.
_FINE = Level(
    longer_side=200,
    iterations=4,
    blur_px=0.0,
    robust_scale=0.15,
    edge_weight=0.4,
    mean_gradient=True,
    min_step_px=0.1,
)
#: Levels that serve in general; the last ones on smaller images are of their own size.
_LEVELS = (
    Level(
        longer_side=25,
        iterations=16,
        blur_px=0.8,
        robust_scale=0.5,
        edge_weight=1.0,
        mean_gradient=False,
        min_step_px=0.2,
    ),
    Level(
        longer_side=50,
        iterations=8,
        blur_px=0.8,
        robust_scale=0.5,
        edge_weight=1.0,
        mean_gradient=False,
        min_step_px=0.2,
    ),
    Level(
        longer_side=100,
        iterations=5,
        blur_px=0.0,
        robust_scale=0.5,
        edge_weight=0.4,
        mean_gradient=False,
        min_step_px=0.5,
    ),
    _FINE,
    replace(_FINE, iterations=2, mean_gradient=False),
)


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """Coarse-to-fine alignment.

    Raises:
        CaldiffError: if there is not one number of survivors between any two levels.
    """

    levels: tuple[Level, ...] = _LEVELS
    """From coarse to fine."""
    survivors: tuple[int, ...] = (3, 2, 2, 2)
    """Hypotheses that go on from each level to the next, the best by cost."""
    copy_distance: float = 0.005
    """Hypotheses that come nearer to a better one than this (normalized units, both this and
    ``copy_angle_deg``) at the end of a level are copies, which do not enter the next."""
    copy_angle_deg: float = 0.75
    """See ``copy_distance``, in degrees."""

    def __post_init__(self) -> None:
        if len(self.survivors) != len(self.levels) - 1:
            raise CaldiffError(
                f'survivors are {self.survivors} for {len(self.levels)} levels, expected one '
                'number between any two of them; correct it'
            )

    def keeping(self, *survivors: int) -> AlignmentConfig:
        """The same with other numbers of hypotheses that go on."""
        return replace(self, survivors=survivors)

    def select_survivors(self, aligned: Aligned, count: int, rival_ratio: float) -> Pose:
        """The best of the hypotheses (P,), at most ``count``, neither copies nor hopeless."""
        distinct = SelectionConfig(
            count=count, min_distance=self.copy_distance, min_angle_deg=self.copy_angle_deg
        )
        chosen = select(aligned.T_norm_cam, aligned.cost, distinct)
        cost = aligned.cost[chosen]
        # a cost of 0 times infinity is no bound
        hopeless = cost > max(rival_ratio, 1) * cost[:1]

        return aligned.T_norm_cam[chosen[~hopeless]]


#: Alignment that maps are calibrated with and that covariances are measured at. It does not follow
#: the presets: a calibration holds for all of them, and those in existing maps were made with it.
CALIBRATION_ALIGNMENT = AlignmentConfig(
    levels=_LEVELS, survivors=(3, 2, 2, 2), copy_distance=0.005, copy_angle_deg=0.75
)


@dataclass(frozen=True)
class Aligned:
    """Result of `align`.

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
    target = Target.of(query, level.blur_px)
    R = poses.R.clone()
    t = poses.t.clone()
    cost = t.new_full((len(t),), torch.inf)
    damping = t.new_full((len(t),), _FIRST_DAMPING)
    H = t.new_zeros(len(t), 6, 6)
    g = t.new_zeros(len(t), 6)

    # where to look next, whether a pose is not done yet, and which are looked at: on a GPU all of
    # them, as asking it who is done would keep the host waiting
    trial = poses
    moving = torch.ones_like(cost, dtype=torch.bool)
    active = torch.arange(len(t)) if t.is_cpu else slice(None)
    finished = Finished(t.device)

    for step in range(level.iterations + 1):
        if finished.known():
            break

        # 1. Compare what is seen from the trial poses with the query
        rendering = field.render(trial, query.camera)
        here = Linearization.at(trial, rendering, target, level)

        # 2. Keep those that are better than before
        better = moving[active] & (here.cost < cost[active])
        R[active] = torch.where(better[:, None, None], trial.R, R[active])
        t[active] = torch.where(better[:, None], trial.t, t[active])
        cost[active] = torch.where(better, here.cost, cost[active])
        H[active] = torch.where(better[:, None, None], here.curvature, H[active])
        g[active] = torch.where(better[:, None], here.gradient, g[active])
        on_step(step, Pose(R.clone(), t.clone()))

        # 3. Trust the model more where it was right, and less where it was not
        changed = torch.where(
            better, damping[active] / _DAMPING_FALL, damping[active] * _DAMPING_RISE
        )
        damping[active] = changed.clamp(*_DAMPING_RANGE)

        # 4. Solve for the next trial; who moves by less than a step worth taking takes it unseen,
        # and is done
        delta = _solve(H[active], g[active], damping[active])
        trial = Pose(R[active], t[active]).retract(delta)
        small = query.camera.fx * delta.abs().amax(-1) < level.min_step_px
        last = moving[active] & small
        R[active] = torch.where(last[:, None, None], trial.R, R[active])
        t[active] = torch.where(last[:, None], trial.t, t[active])
        moving[active] = moving[active] & ~small

        if isinstance(active, Tensor):
            trial, active = trial[~small], active[~small]
        finished.ask(moving)

    return Aligned(Pose(R, t), cost)


class Finished:
    """Whether a computation has no more to do, asked without waiting for a GPU's answer."""

    def __init__(self, device: torch.device) -> None:
        self._moving = torch.ones((), dtype=torch.bool, pin_memory=device.type == 'cuda')
        self._answered = torch.cuda.Event() if device.type == 'cuda' else None

    def ask(self, moving: Tensor) -> None:
        """Ask whether none of it moves, bool (P,)."""
        self._moving.copy_(moving.any(), non_blocking=True)
        if self._answered is not None:
            self._answered.record()

    def known(self) -> bool:
        """Whether the answer has come, and is yes."""
        if self._answered is not None and not self._answered.query():
            return False
        return not bool(self._moving)


def _solve(H: Tensor, g: Tensor, damping: Tensor) -> Tensor:
    """Levenberg-Marquardt step, (P, 6), bounded to a sensible move."""
    diagonal = H.diagonal(dim1=-2, dim2=-1)
    floor = 1e-9 * diagonal.amax(-1, keepdim=True).clamp_min(1e-12)
    damped = H + torch.diag_embed(damping[:, None] * diagonal + floor)
    # without asking whether that is possible, for which a GPU would keep the host waiting
    solved, _ = torch.linalg.solve_ex(damped.double(), g.double()[..., None])
    delta = -solved[..., 0].to(g.dtype)
    longest = torch.maximum(
        delta[:, :3].norm(dim=-1) / _MAX_SHIFT, delta[:, 3:].norm(dim=-1) / _MAX_TURN_RAD
    )

    return delta / longest.clamp_min(1)[:, None]


def align(
    field: RadianceField,
    query: Query,
    poses: Pose,
    config: AlignmentConfig,
    rival_ratio: float = float('inf'),
    on_step: Callable[[int, Pose], None] = lambda step, poses: None,
) -> Aligned:
    """Align poses (P,) from coarse to fine; fewer and fewer of them, best first.

    Those with more than ``rival_ratio`` times the cost of the best at the end of a level are given
    up: one that is clearly right needs no company.
    """
    aligned: Aligned | None = None
    visited: tuple[object, ...] | None = None

    for i, level in enumerate(config.levels):
        reduced = query.level(level.longer_side)
        comparison = (
            reduced.camera,
            level.blur_px,
            level.robust_scale,
            level.edge_weight,
            level.mean_gradient,
        )

        if visited == comparison:  # the image has no more pixels than that
            continue

        visited = comparison
        if aligned is not None:
            # what has met at one pose goes on once: other places are not crowded out by copies
            poses = config.select_survivors(aligned, config.survivors[i - 1], rival_ratio)

        aligned = align_level(field, reduced, poses, level=level, on_step=on_step)

    if aligned is None:
        raise CaldiffError('the alignment has no levels, expected at least one; give one')

    order = aligned.cost.argsort()
    return Aligned(aligned.T_norm_cam[order], aligned.cost[order])
