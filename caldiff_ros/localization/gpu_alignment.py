# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Direct alignment at one resolution on a GPU: the host launches each iteration as a whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.comparison import Level, Target, gpu_sums
from caldiff_ros.localization.gpu_steps import Steps
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.bounded_view import BoundedView
from caldiff_ros.nerf.field import RadianceField
from caldiff_ros.recording import Recording

#: Iterations that are launched before it is known how those before them ended.
_AHEAD = 2


def align_on_gpu(
    field: RadianceField,
    query: Query,
    poses: Pose,
    level: Level,
    on_step: Callable[[int, Pose], None],
) -> tuple[Pose, Tensor]:
    """See `levenberg_marquardt.align_level`; poses (P,) and costs (P,)."""
    target = Target.of(query, level.blur_px)
    view = field.bounded_view(query.camera, _rounded_up(len(poses)))
    if view is not None and len(poses):
        found = _align_recorded(view, target, poses, level=level, on_step=on_step)
        if found is not None:
            return found

    steps = Steps(len(poses), (query.camera.fx, level.min_step_px), poses.t.device)
    steps.start(poses)
    for step in range(level.iterations + 1):
        rendering = field.render(steps.trial, query.camera)
        steps.take(gpu_sums(rendering, target, level))
        on_step(step, Pose(steps.poses.R.clone(), steps.poses.t.clone()))
        if not bool(steps.moving.any()):
            break

    return steps.poses, steps.cost


def _align_recorded(
    view: BoundedView,
    target: Target,
    poses: Pose,
    level: Level,
    on_step: Callable[[int, Pose], None],
) -> tuple[Pose, Tensor] | None:
    """See `align_on_gpu`; None if what is seen on the way has no room."""
    n, n_pixels = len(poses), target.query.seen.size
    # one recording serves several numbers of poses
    among = torch.arange(view.n_poses, device=poses.t.device).clamp_max(n - 1)

    while view.has_room(poses[among]):
        recorded = view.recordings.get((level, target.query.affine_exposure))
        if recorded is None:
            recorded = _RecordedLevel(view, target, level)
            view.recordings[level, target.query.affine_exposure] = recorded

        best = recorded.start(target, poses[among])[:n]
        for step in range(level.iterations + 1):
            view.watch(n * n_pixels)
            recorded.advance()
            on_step(step, Pose(best.R.clone(), best.t.clone()))
            if recorded.has_ended():
                break

        if view.was_enough():
            return Pose(best.R.clone(), best.t.clone()), recorded.cost[:n].clone()

    return None


class _RecordedLevel:
    """An iteration at one level, for any query of its size and as many poses as the view has."""

    def __init__(self, view: BoundedView, target: Target, level: Level) -> None:
        camera, device = target.query.camera, target.rgb.device
        self._target = replace(target, rgb=target.rgb.clone(), seen=target.seen.clone())
        self._steps = Steps(view.n_poses, (camera.fx, level.min_step_px), device)
        self._view, self._level, self._device = view, level, device
        self._moving = torch.ones((), dtype=torch.bool, pin_memory=device.type == 'cuda')
        self._launched: deque[torch.cuda.Event] = deque()
        self._steps.start(Pose.identity(view.n_poses, device=device))
        self._recording = Recording(self._iterate, device)

    @property
    def cost(self) -> Tensor:
        """Of the best poses so far, (P,)."""
        return self._steps.cost

    def start(self, target: Target, poses: Pose) -> Pose:
        """Begin with another query of the same camera at poses (P,); the memory of the best."""
        self._target.rgb.copy_(target.rgb)
        self._target.seen.copy_(target.seen)
        self._steps.start(poses)
        self._launched.clear()
        return self._steps.poses

    def advance(self) -> None:
        """Launch an iteration."""
        self._recording.replay()

    def has_ended(self) -> bool:
        """Whether nothing moves any more, as far as is known without keeping the GPU waiting."""
        if self._device.type == 'cuda':
            self._launched.append(torch.cuda.Event())
            self._launched[-1].record()
            if len(self._launched) <= _AHEAD:
                return False
            self._launched.popleft().synchronize()

        return not bool(self._moving)

    def _iterate(self) -> None:
        rendering = self._view.render(self._steps.trial)
        self._steps.take(gpu_sums(rendering, self._target, self._level))
        self._moving.copy_(self._steps.moving.any(), non_blocking=True)


def _rounded_up(n: int) -> int:
    """The next power of two."""
    return 1 << max(0, n - 1).bit_length()
