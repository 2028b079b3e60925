# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Direct alignment by Levenberg-Marquardt on image gradients, from coarse to fine.

Each iteration renders colour and depth at the current pose. The depth says how every pixel moves
with the pose, the image gradient how its colour changes with that, so no gradient through the field
is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.comparison_kernels import BLOCK_PX, EDGE_RATIO, FAR, linearize
from caldiff_ros.localization.query import Query, blur_kernel, blurred, robust_loss, robust_weight
from caldiff_ros.localization.selection import SelectionConfig, select
from caldiff_ros.nerf.field import RadianceField, Rendering, pixel_directions
from caldiff_ros.parallel import in_parallel

#: Blur by which depth is filled in where a ray hits nothing, in pixels.
_FILLING_PX = 2.0
#: Small: turning a camera and shifting it look alike, and damping stalls along that valley.
_FIRST_DAMPING = 1e-5
#: How the damping falls after a step that was better and rises after one that was not.
_DAMPING_FALL, _DAMPING_RISE = 4, 16
_DAMPING_RANGE = (_FIRST_DAMPING / 100, 1e6)
#: A step moves a camera by this at most, in normalized units and in radians.
_MAX_SHIFT, _MAX_TURN_RAD = 0.1, 0.35


@dataclass(frozen=True, kw_only=True)
class Level:
    """One resolution of the alignment."""

    longer_side: int
    """Longer side of the image, in pixels."""
    iterations: int
    """Most iterations."""
    blur_px: float
    """Standard deviation of the blur of image and render, in pixels of the level: wider basins, at
    the cost of accuracy."""
    robust_scale: float
    """Colour difference (0..1) beyond which a pixel counts less (Geman-McClure): where the field is
    wrong, or something stands in front of it, nothing must pull at the pose."""
    edge_weight: float
    """Weight of the pixels at edges of the rendered depth, see `depth_edges`: from few images, a
    field learns silhouettes that are a fraction of a pixel too large, and surfaces seen at a low
    angle that lie too high."""
    mean_gradient: bool
    """Whether the image gradients are the mean of those of render and query (efficient second-order
    minimization, Benhimane and Malis 2004). Near the end that takes half as many steps; from far
    away it leads astray, and the noise of the query, which its gradient shares with the residuals,
    asks for a last level without."""
    min_step_px: float
    """A hypothesis whose next step turns or shifts the image by less, in pixels of the level, takes
    it unseen and is done with the level."""


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


@dataclass(frozen=True)
class Target:
    """The query as the alignment compares it.

    Attributes:
        query: the image.
        blur_px: standard deviation of the blur of image and renders, in pixels.
        rgb: its blurred colours, (1, H, W, 3).
        seen: 1 where the blurred colours rest on seen pixels only, (1, H * W, 1).
    """

    query: Query
    blur_px: float
    rgb: Tensor
    seen: Tensor

    @classmethod
    def of(cls, query: Query, blur_px: float) -> Target:
        """Prepare a query at its own resolution."""
        rgb = blurred(query.rgb[None], blur_px)
        unseen = 1 - torch.from_numpy(query.seen)[None].float()
        seen = 1 - F.max_pool2d(unseen, 5, stride=1, padding=2)
        return cls(query, blur_px, rgb, seen.to(query.device).view(1, -1, 1))


@dataclass(frozen=True)
class Linearization:
    """Residuals at poses (P,), and how they change with the parameters of `Pose.retract`.

    Attributes:
        curvature: J^T W J, (P, 6, 6): weights are robust, less at edges, 0 where nothing was seen.
        scores: J^T W r of each block of `BLOCK_PX` x `BLOCK_PX` pixels, (P, rows, columns, 6).
        cost: robust cost per pixel, (P,).
    """

    curvature: Tensor
    scores: Tensor
    cost: Tensor

    @property
    def gradient(self) -> Tensor:
        """J^T W r of the whole image, (P, 6)."""
        return self.scores.sum((1, 2))

    @classmethod
    def at(cls, poses: Pose, rendering: Rendering, target: Target, level: Level) -> Linearization:
        """Compare what the query's camera sees from poses (P,), (P, H, W), with the query."""
        # translation is in the camera's axes so far
        compare = _compiled_comparison if rendering.rgb.is_cpu else _comparison
        curvature, scores, cost = compare(rendering, target, level)
        turn = torch.zeros(len(poses), 6, 6, device=curvature.device, dtype=curvature.dtype)
        turn[:, :3, :3] = poses.R
        turn[:, 3:, 3:] = torch.eye(3, device=turn.device)

        return cls(
            turn @ curvature @ turn.transpose(1, 2),
            (turn[:, None, None] @ scores[..., None])[..., 0],
            cost,
        )


def _compiled_comparison(
    rendering: Rendering, target: Target, level: Level
) -> tuple[Tensor, Tensor, Tensor]:
    """See `_comparison`; on a CPU."""
    camera = target.query.camera
    P = len(rendering.rgb)
    blocks = -(-camera.height // BLOCK_PX), -(-camera.width // BLOCK_PX)
    curvature, scores = np.zeros((P, 6, 6)), np.zeros((P, *blocks, 6))
    images = [
        values.contiguous().numpy()
        for values in (rendering.rgb, rendering.depth, rendering.opacity)
    ]
    seen = target.seen.view(camera.height, camera.width)
    query = target.rgb[0].contiguous().numpy(), seen.contiguous().numpy()
    kernels = (
        blur_kernel(target.blur_px).numpy() if target.blur_px else np.empty(0, np.float32),
        blur_kernel(_FILLING_PX).numpy(),
    )
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32)
    numbers = (
        level.robust_scale,
        level.edge_weight,
        0.5 if level.mean_gradient else 0.0,
        float(target.query.affine_exposure),
    )

    def compare(i: int) -> float:
        pixels = images[0][i], images[1][i], images[2][i]
        sums = curvature[i], scores[i]
        return linearize(pixels, query, kernels, intrinsics, numbers, sums)

    cost = in_parallel(compare, [(i,) for i in range(P)], torch.get_num_threads())
    sums = torch.from_numpy(curvature).float(), torch.from_numpy(scores).float()
    return *sums, torch.tensor(cost, dtype=torch.float32)


def _comparison(
    rendering: Rendering, target: Target, level: Level
) -> tuple[Tensor, Tensor, Tensor]:
    """Curvature, scores and cost, see `Linearization`, translation in the camera's axes."""
    P, height, width = rendering.depth.shape
    products, pulls, cost = weighted_gradients(rendering, target, level)

    motion = pixel_motion(filled_depth(rendering).flatten(1, 2), target.query.camera)
    curvature = torch.einsum('pnia,pnij,pnjb->pab', motion, products, motion)
    per_pixel = torch.einsum('pnia,pni->pan', motion, pulls).view(P, 6, height, width)
    scores = F.avg_pool2d(
        per_pixel, BLOCK_PX, ceil_mode=True, count_include_pad=False, divisor_override=1
    )

    return curvature, scores.permute(0, 2, 3, 1), cost


def weighted_gradients(
    rendering: Rendering, target: Target, level: Level
) -> tuple[Tensor, Tensor, Tensor]:
    """How much each pixel of renders (P, H, W) counts, and how it wants to move.

    Returns:
        The gradients of its colours multiplied with each other, (P, H * W, 2, 2), and with the
        residuals, (P, H * W, 2), both weighted, and the robust cost per pixel, (P,).
    """
    rgb = blurred(rendering.rgb, target.blur_px)
    flat = target.query.exposed(rgb.flatten(1, 2), target.rgb.view(-1, 3), target.seen[0])
    rgb = flat.view_as(rgb)

    gradient = image_gradient(rgb)
    if level.mean_gradient:
        gradient = (gradient + image_gradient(target.rgb)) / 2
    gradient = gradient.flatten(1, 2)
    residual = (rgb - target.rgb).flatten(1, 2)
    compared = target.seen
    if level.edge_weight < 1:
        edges = depth_edges(rendering).flatten(1, 2)[..., None]
        compared = compared * torch.where(edges, level.edge_weight, 1.0)

    squared = (residual**2).sum(-1, keepdim=True)
    robust = compared * robust_loss(squared, level.robust_scale)
    weight = compared * robust_weight(squared, level.robust_scale)
    products = weight[..., None] * (gradient.transpose(2, 3) @ gradient)
    pulls = weight * (gradient.transpose(2, 3) @ residual[..., None])[..., 0]

    return products, pulls, robust.sum((1, 2)) / compared.sum((1, 2)).clamp_min(1)


def pixel_motion(depth: Tensor, camera: Camera) -> Tensor:
    """How pixels of a render move over the scene with the pose.

    Args:
        depth: of the pixels, (P, H * W).
        camera: intrinsics of the image.

    Returns:
        (P, H * W, 2, 6): along u and v, in pixels, by a shift of the camera in its own axes and a
        turn about them: minus the motion of what is seen.
    """
    x, y = pixel_directions(camera, depth.device)[:, :2].expand(len(depth), -1, -1).unbind(-1)
    inverse = 1 / depth.clamp_min(1e-3)
    zero = torch.zeros_like(inverse)
    along_u = [inverse, zero, -x * inverse, -x * y, 1 + x * x, -y]
    along_v = [zero, inverse, -y * inverse, -1 - y * y, x * y, x]

    return torch.stack(
        [camera.fx * torch.stack(along_u, dim=-1), camera.fy * torch.stack(along_v, dim=-1)], dim=2
    )


def image_gradient(images: Tensor) -> Tensor:
    """Central differences of (P, H, W, C) along u and v, per pixel: (P, H, W, C, 2)."""
    along_v, along_u = torch.gradient(images, dim=(1, 2))
    return torch.stack([along_u, along_v], dim=-1)


def depth_edges(rendering: Rendering) -> Tensor:
    """Pixels around which the depth differs much: silhouettes, and surfaces seen at a low angle.

    Returns:
        bool (P, H, W), of a rendering (P, H, W).
    """
    depth = torch.where(rendering.opacity > 0.5, rendering.depth, FAR)
    log_depth = depth.clamp_min(1e-6).log()[:, None]
    farthest, nearest = (F.max_pool2d(x, 3, stride=1, padding=1) for x in (log_depth, -log_depth))

    return (farthest + nearest)[:, 0] > math.log(EDGE_RATIO)


def filled_depth(out: Rendering) -> Tensor:
    """Depth where a ray hits nothing from its neighbours: silhouettes move like their object."""
    weight = blurred(out.opacity[..., None], _FILLING_PX)[..., 0]
    depth = blurred((out.depth * out.opacity)[..., None], _FILLING_PX)[..., 0]
    return torch.where(out.opacity > 0.5, out.depth, depth / weight.clamp_min(1e-4))


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
    # them to the end, as asking it who is done would keep it waiting
    trial = poses
    moving = torch.ones_like(cost, dtype=torch.bool)
    active = torch.arange(len(t), device=t.device)

    for step in range(level.iterations + 1):
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

        if t.is_cpu:
            trial, active = trial[~small], active[~small]
            if len(active) == 0:
                break

    return Aligned(Pose(R, t), cost)


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
