# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A step of Levenberg-Marquardt on a GPU, compiled by Triton: one launch for all poses.

What `levenberg_marquardt.align_level` does between two renders takes PyTorch a hundred launches of
small kernels, for which the GPU waits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.gpu_comparison import Sums
from caldiff_ros.localization.levenberg_marquardt import (
    DAMPING_FALL,
    DAMPING_RANGE,
    DAMPING_RISE,
    FIRST_DAMPING,
    FLOOR,
    LEAST_CURVATURE,
    MAX_SHIFT,
    MAX_TURN_RAD,
)

_FALL, _RISE = tl.constexpr(1 / DAMPING_FALL), tl.constexpr(DAMPING_RISE)
_LEAST_DAMPING, _MOST_DAMPING = (tl.constexpr(bound) for bound in DAMPING_RANGE)
_FLOOR, _LEAST_CURVATURE = tl.constexpr(FLOOR), tl.constexpr(LEAST_CURVATURE)
_MAX_SHIFT, _MAX_TURN_RAD = tl.constexpr(MAX_SHIFT), tl.constexpr(MAX_TURN_RAD)
#: Blocks of pixels that are added at a time.
_BLOCKS = tl.constexpr(16)


class Steps:
    """Poses (P,) on their way to where they explain the query best.

    Args:
        n: their number P.
        numbers: focal length of the level's camera in pixels, and `Level.min_step_px`.
        device: a GPU.

    Attributes:
        poses: the best so far, (P,).
        trial: where to look next, (P,).
        cost: robust cost per pixel of the best so far, (P,).
        moving: 1 where a pose is not done yet, int32 (P,).
    """

    def __init__(self, n: int, numbers: tuple[float, float], device: torch.device) -> None:
        self.poses, self.trial = (
            Pose(torch.zeros(n, 3, 3, device=device), torch.zeros(n, 3, device=device))
            for _ in range(2)
        )
        self.cost = torch.zeros(n, device=device)
        self.moving = torch.zeros(n, dtype=torch.int32, device=device)
        self._damping = torch.zeros(n, device=device)
        self._H = torch.zeros(n, 8, 8, device=device)
        self._g = torch.zeros(n, 8, device=device)
        self._numbers = numbers

    def start(self, poses: Pose) -> None:
        """Begin at poses (P,)."""
        for memory in (self.poses, self.trial):
            memory.R.copy_(poses.R)
            memory.t.copy_(poses.t)
        self.cost.fill_(torch.inf)
        self.moving.fill_(1)
        self._damping.fill_(FIRST_DAMPING)

    def take(self, sums: Sums) -> None:
        """Keep the trial poses that are better than before, and find the next ones.

        Args:
            sums: of the comparison of what is seen from the trial poses with the query.
        """
        state = self.cost, self.moving, self._damping, self._H, self._g
        _step[(len(self.cost),)](
            (sums.products, sums.costs),
            (self.poses.R, self.poses.t, self.trial.R, self.trial.t, *state),
            self._numbers,
            sums.costs.shape[1] * sums.costs.shape[2],
            num_warps=2,
        )


@triton.jit
def _times(a, b):
    """Product of matrices (8, 8)."""
    return tl.sum(a[:, :, None] * b[None, :, :], 1)


@triton.jit
def _solve(matrix, vector):
    """Gauss-Jordan elimination of a positive definite matrix (8, 8), in float64."""
    index = tl.arange(0, 8)
    row, column = index[:, None], index[None, :]
    for k in range(8):
        pivots = tl.sum(tl.where(row == k, matrix, 0.0), 0)
        pivot = tl.sum(tl.where(index == k, pivots, 0.0))
        value = tl.sum(tl.where(index == k, vector, 0.0))
        factor = tl.sum(tl.where(column == k, matrix, 0.0), 1) / pivot
        factor = tl.where(index == k, 0.0, factor)
        matrix -= factor[:, None] * pivots[None, :]
        vector -= factor * value

    return vector / tl.sum(tl.where(row == column, matrix, 0.0), 1)


@triton.jit
def _turned(R, x, y, z):
    """Rotation (8, 8), of which the first 3 rows and columns count, times that by a vector."""
    index = tl.arange(0, 8)
    row, column = index[:, None], index[None, :]
    squared = x * x + y * y + z * z
    angle = tl.sqrt(squared)
    is_small = angle < 1e-3
    safe = tl.where(is_small, 1.0, angle)
    sine = tl.where(is_small, 1 - squared / 6, tl.sin(safe) / safe)
    half = tl.where(is_small, 1 - squared / 24, tl.sin(safe / 2) / (safe / 2))
    cross = tl.where((row == 0) & (column == 1), -z, 0.0)
    cross = tl.where((row == 0) & (column == 2), y, cross)
    cross = tl.where((row == 1) & (column == 0), z, cross)
    cross = tl.where((row == 1) & (column == 2), -x, cross)
    cross = tl.where((row == 2) & (column == 0), -y, cross)
    cross = tl.where((row == 2) & (column == 1), x, cross)
    once = _times(R, cross)
    return R + sine * once + 0.5 * half * half * _times(once, cross)


@triton.jit(do_not_specialize=('n_blocks',))
def _step(sums, state, numbers, n_blocks):
    """One program per pose, see `levenberg_marquardt.align_level`."""
    products, costs = sums
    best_R, best_t, trial_R, trial_t, cost, moving, damping, best_H, best_g = state
    focal_px, min_step_px = numbers
    pose = tl.program_id(0)
    index = tl.arange(0, 8)
    row, column = index[:, None], index[None, :]

    # 1. Add up the blocks of pixels
    total = tl.zeros([8, 8], tl.float32)
    at = (tl.arange(0, 8)[:, None] * 8 + tl.arange(0, 8)[None, :])[None, :, :]
    products += pose.to(tl.int64) * n_blocks * 64
    costs += pose.to(tl.int64) * n_blocks * 2
    robust, compared = 0.0, 0.0
    for start in range(0, n_blocks, _BLOCKS):
        block = start + tl.arange(0, _BLOCKS)
        inside = block < n_blocks
        place = block[:, None, None] * 64 + at
        total += tl.sum(tl.load(products + place, inside[:, None, None], 0.0), 0)
        robust += tl.sum(tl.load(costs + block * 2, inside, 0.0))
        compared += tl.sum(tl.load(costs + block * 2 + 1, inside, 0.0))
    here = robust / tl.maximum(compared, 1.0)

    # 2. Translations along the map's axes
    of_R = (row < 3) & (column < 3)
    new_R = tl.load(trial_R + pose * 9 + row * 3 + column, of_R, 0.0)
    turn = tl.where(of_R, new_R, tl.where(row == column, 1.0, 0.0))
    pulls = tl.sum(tl.where(column == 6, total, 0.0), 1)
    pulls = tl.sum(turn * tl.where(index < 6, pulls, 0.0)[None, :], 1)
    of_H = (row < 6) & (column < 6)
    curvature = _times(_times(turn, tl.where(of_H, total, 0.0)), tl.trans(turn))

    # 3. Keep it if it is better than before; trust the model more then, and less if not
    was_moving = tl.load(moving + pose) > 0
    better = was_moving & (here < tl.load(cost + pose))
    R = tl.where(better, new_R, tl.load(best_R + pose * 9 + row * 3 + column, of_R, 0.0))
    new_t = tl.load(trial_t + pose * 3 + index, index < 3, 0.0)
    t = tl.where(better, new_t, tl.load(best_t + pose * 3 + index, index < 3, 0.0))
    H = tl.where(better, curvature, tl.load(best_H + pose * 64 + row * 8 + column))
    g = tl.where(better, pulls, tl.load(best_g + pose * 8 + index))
    tl.store(best_H + pose * 64 + row * 8 + column, H)
    tl.store(best_g + pose * 8 + index, g)
    tl.store(cost + pose, tl.where(better, here, tl.load(cost + pose)))
    before = tl.load(damping + pose)
    now = tl.where(better, before * _FALL, before * _RISE)
    now = tl.minimum(tl.maximum(now, _LEAST_DAMPING), _MOST_DAMPING)
    tl.store(damping + pose, now)

    # 4. Solve for the next trial, bounded to a sensible move
    diagonal = tl.sum(tl.where(row == column, H, 0.0), 1)
    floor = _FLOOR * tl.maximum(tl.max(diagonal), _LEAST_CURVATURE)
    added = tl.where(index < 6, now * diagonal + floor, 1.0)
    damped = H.to(tl.float64) + tl.where(row == column, added[:, None], 0.0).to(tl.float64)
    delta = -_solve(damped, g.to(tl.float64)).to(tl.float32)
    shift = tl.sqrt(tl.sum(tl.where(index < 3, delta * delta, 0.0)))
    angle = tl.sqrt(tl.sum(tl.where((index >= 3) & (index < 6), delta * delta, 0.0)))
    delta /= tl.maximum(tl.maximum(shift / _MAX_SHIFT, angle / _MAX_TURN_RAD), 1.0)
    x = tl.sum(tl.where(index == 3, delta, 0.0))
    y = tl.sum(tl.where(index == 4, delta, 0.0))
    z = tl.sum(tl.where(index == 5, delta, 0.0))
    next_R, next_t = _turned(R, x, y, z), t + tl.where(index < 3, delta, 0.0)
    tl.store(trial_R + pose * 9 + row * 3 + column, next_R, of_R)
    tl.store(trial_t + pose * 3 + index, next_t, index < 3)

    # 5. Who moves by less than a step worth taking takes it unseen, and is done
    longest = tl.max(tl.where(index < 6, tl.abs(delta), 0.0))
    small = focal_px * longest < min_step_px
    last = was_moving & small
    tl.store(best_R + pose * 9 + row * 3 + column, tl.where(last, next_R, R), of_R)
    tl.store(best_t + pose * 3 + index, tl.where(last, next_t, t), index < 3)
    tl.store(moving + pose, (was_moving & (small == 0)).to(tl.int32))
