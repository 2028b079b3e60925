# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether an image was taken with the focal length that it is said to have.

A wrong focal length moves the pose along the optical axis until the middle of the image fits again;
near and far then disagree at the rim. So the pose is aligned once more with the focal length as a
seventh parameter: where the scene has depth enough to tell, that explains a wrong one away.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.comparison import (
    Level,
    Target,
    filled_depth,
    pixel_motion,
    weighted_gradients,
)
from caldiff_ros.localization.levenberg_marquardt import (
    DAMPING_FALL,
    DAMPING_RISE,
    FIRST_DAMPING,
    FLOOR,
    LEAST_CURVATURE,
)
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.field import RadianceField, Rendering, pixel_directions
from caldiff_ros.recording import Recorded

#: Where the seventh parameter is looked for: coarse, so that it costs little, and without a blur,
#: which would let colours of an object reach into an empty background that has no depth.
_LEVEL = Level(
    longer_side=100,
    iterations=10,
    blur_px=0.0,
    robust_scale=0.3,
    edge_weight=0.4,
    mean_gradient=False,
    min_step_px=0.1,
)
#: The search ends after its first step unless that changes the focal length by this share.
_SUSPECT = 0.02
#: Least change of the focal length, and of the cost, that contradict the focal length given. On
#: held-out images with the right one, of five maps, neither was reached: the cost fell by 1 % at
#: most, and the focal length changed by less than 4 %.
_CONTRADICTS = 0.04
_CONTRADICTING_RATIO = 0.97
#: The longest step.
_MAX_STEP = 0.15


@dataclass(frozen=True)
class FocalFit:
    """The focal length that explains an image best.

    Attributes:
        factor: it, as a multiple of the one given.
        cost_ratio: robust cost with it over that with the one given, 0..1.
    """

    factor: float
    cost_ratio: float

    @property
    def contradicts(self) -> bool:
        """Whether the focal length given cannot be the right one."""
        changed = abs(math.log(self.factor)) >= _CONTRADICTS
        return changed and self.cost_ratio <= _CONTRADICTING_RATIO


@torch.no_grad()
def fit_focal_length(field: RadianceField, query: Query, T_norm_cam: Pose) -> FocalFit:
    """Align a pose, (1,), that is aligned already, and the focal length together."""
    reduced = query.level(_LEVEL.longer_side)
    target = Target.of(reduced, _LEVEL.blur_px)
    pose, log_factor = T_norm_cam, 0.0
    H, g, given = _normal_equations(field, target, pose, factor=1.0)
    cost = given
    damping = FIRST_DAMPING
    delta = _solve(H, g, damping)
    if not abs(float(delta[6])) >= _SUSPECT:  # also if it is NaN
        return FocalFit(factor=1.0, cost_ratio=1.0)

    for _ in range(_LEVEL.iterations):
        # 1. Try the step
        trial = pose.retract(delta[None, :6].to(pose.t))
        trial_log_factor = log_factor + float(delta[6])
        equations = _normal_equations(field, target, trial, math.exp(trial_log_factor))

        # 2. Keep it if it is better, and trust the model more then, or else less
        if equations[2] < cost:
            pose, log_factor = trial, trial_log_factor
            H, g, cost = equations
            damping /= DAMPING_FALL
        else:
            damping *= DAMPING_RISE

        # 3. Solve for the next one
        delta = _solve(H, g, damping)
        if reduced.camera.fx * float(delta.abs().max()) < _LEVEL.min_step_px:
            break

    return FocalFit(math.exp(log_factor), cost / given)


def _normal_equations(
    field: RadianceField, target: Target, T_norm_cam: Pose, factor: float
) -> tuple[Tensor, Tensor, float]:
    """J^T W J (7, 7), J^T W r (7,) and the cost: of `Pose.retract` and the log of the factor."""
    camera = _zoomed(target.query.camera, factor)
    out = field.render(T_norm_cam, camera)
    sums = _recorded_sums(camera, target.query.affine_exposure)
    found = sums(out.rgb, out.depth, out.opacity, target.rgb, target.seen).double().cpu()
    H, g, cost = found[:49].view(7, 7), found[49:56], float(found[56])
    turn = torch.eye(7).double()
    turn[:3, :3] = T_norm_cam.R[0]  # translation is in the camera's axes so far

    return turn @ H @ turn.T, turn @ g, cost


@functools.lru_cache(maxsize=8)
def _recorded_sums(camera: Camera, affine_exposure: bool) -> Recorded:
    """What compares a render of a camera, translation in its axes: J^T W J, J^T W r, cost (57,)."""

    def sums(rgb: Tensor, depth: Tensor, opacity: Tensor, image: Tensor, seen: Tensor) -> Tensor:
        query = Query(
            image=np.empty((camera.height, camera.width, 3), np.uint8),
            seen=np.ones((camera.height, camera.width), bool),
            camera=camera,
            device=rgb.device,
            affine_exposure=affine_exposure,
        )
        target = Target(query, _LEVEL.blur_px, image, seen)
        out = Rendering(rgb, depth, opacity)
        products, pulls, cost = weighted_gradients(out, target, _LEVEL)
        motion = pixel_motion(filled_depth(out).flatten(1, 2), camera)[0]
        # a longer focal length moves what is seen outwards
        x, y = pixel_directions(camera, motion.device)[:, :2].unbind(-1)
        outwards = torch.stack([camera.fx * x, camera.fy * y], dim=-1)
        motion = torch.cat([motion, -outwards[..., None]], dim=-1)

        H = torch.einsum('nia,nij,njb->ab', motion, products[0], motion)
        g = torch.einsum('nia,ni->a', motion, pulls[0])
        return torch.cat([H.flatten(), g, cost])

    return Recorded(sums)


def _solve(H: Tensor, g: Tensor, damping: float) -> Tensor:
    """Levenberg-Marquardt step (7,), bounded."""
    diagonal = H.diagonal()
    damped = H + torch.diag(damping * diagonal + FLOOR * diagonal.max().clamp_min(LEAST_CURVATURE))
    delta = -torch.linalg.solve(damped, g)
    return delta / (delta.abs().max() / _MAX_STEP).clamp_min(1)


def _zoomed(camera: Camera, factor: float) -> Camera:
    return replace(camera, fx=camera.fx * factor, fy=camera.fy * factor)
