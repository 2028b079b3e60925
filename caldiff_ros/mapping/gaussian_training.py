# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training Gaussians on posed images, in a minute or two on a CPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import Tensor, nn

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.field_training import (
    MAX_PSNR_VIEWS,
    PSNR_INTERVAL,
    FieldTraining,
    FieldViews,
    psnr,
)
from caldiff_ros.mapping.gaussian_growth import Growth, GrowthConfig, nearest_distances
from caldiff_ros.mapping.image_loss import image_loss
from caldiff_ros.mapping.starting_points import StartingPoints, point_depths, starting_points
from caldiff_ros.mapping.training_loop import Trainer, TrainingSchedule, train
from caldiff_ros.mapping.visibility import visible_shares
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField
from caldiff_ros.nerf.splat_kernels import SH0
from caldiff_ros.nerf.splatting import splat

#: Nothing is nearer to a camera than this share of the depth that 99 % of the points exceed.
_NEAR_SHARE, _NEAR_QUANTILE = 0.3, 0.01
#: Depths from which quantiles are taken, at most.
_MOST_DEPTHS = 1 << 20
#: Smallest distance between starting points that counts, normalized units.
_LEAST_DISTANCE = 1e-5


@dataclass(frozen=True, kw_only=True)
class GaussianTraining(FieldTraining):
    """How to train Gaussians, the default: a minute or two on a CPU."""

    kind: ClassVar[str] = 'gaussians'

    iterations: int = 2200
    """Optimizer steps, one whole training image each."""
    iterations_per_view: float = 12.5
    """Minimum number of times that each image is used; many images take more than
    ``iterations``."""
    start_points: int = 20_000
    """Maximum number of starting points: measured, triangulated, or inside silhouettes."""
    budget: int = 200_000
    """Most Gaussians: 160 bytes each in memory, and some 0.25 microseconds of each render."""
    sh_degree: int = 2
    """Degree of the spherical harmonics of the colours, 0 to 3; they come one after the other."""
    coarse_share: float = 0.33
    """Fraction of the training on images of half the size."""
    opacity: float = 0.1
    """Initial opacity of a Gaussian."""
    growth: GrowthConfig = dataclass_field(default_factory=GrowthConfig)
    """When Gaussians are added and removed."""
    ssim_weight: float = 0.2
    """Weight of the structural dissimilarity; the rest is that of the absolute difference."""
    opacity_weight: float = 0.01
    """Weight of the mean opacity, for images with alpha: what they do not need becomes transparent
    and is removed (arXiv 2404.09591). Without it and the next, an object's views from beside the
    training cameras are 1 to 3 dB worse; those of a room are better without."""
    scale_weight: float = 1.0
    """Weight of the mean scale, in median depths of the scene, for images with alpha."""
    thickness_weight: float = 1.0
    """Weight of the mean of the smallest of the three scales, likewise: flat Gaussians lie on the
    surface."""
    depth_weight: float = 0.02
    """Weight of the mean depth error over the median depth where there are depth images."""
    exact_depth: bool = False
    """Whether depth images are as exact as rendered ones: then their error counts until the end,
    and else while Gaussians are added, as many a depth camera is centimetres off."""
    means_learning_rate: float = 0.0005
    """Adam's learning rate for the centres, in distances of the nearest camera; it falls to a
    hundredth."""
    scales_learning_rate: float = 0.01
    """Adam's learning rate for the logarithms of the scales."""
    quaternions_learning_rate: float = 0.002
    """Adam's learning rate for the quaternions of the axes."""
    opacities_learning_rate: float = 0.05
    """Adam's learning rate for the logits of the opacities."""
    colors_learning_rate: float = 0.005
    """Adam's learning rate for the spherical harmonics of the colours."""

    def shortened(self, share: float) -> GaussianTraining:
        """See `FieldTraining.shortened`."""
        return replace(
            self,
            iterations=max(1, round(share * self.iterations)),
            iterations_per_view=share * self.iterations_per_view,
        )

    def steps(self, n_views: int) -> int:
        """Optimizer steps on this many images."""
        return max(self.iterations, round(self.iterations_per_view * n_views))

    def train(self, data: FieldViews, context: BuildContext) -> GaussianField:
        """See `FieldTraining.train`."""
        saved = context.checkpoint('field', self, data.views, data.aabb)
        points = self._starting_points(data, context)
        depths = _depths(points, data)
        near = nearest_plane(depths)
        depth = float(_thinned(depths).median())

        field = field_of(points, data, near, self)
        trainer = GaussianTrainer(self, field.to(context.device), data, depth, context)
        steps = self.steps(len(data.views))
        train(trainer, TrainingSchedule(None, steps), context, saved)

        return field

    def _starting_points(self, data: FieldViews, context: BuildContext) -> StartingPoints:
        saved = context.checkpoint('points', self.start_points, data.views, data.aabb, data.points)
        state = saved.load()
        if state is not None:
            return StartingPoints(**state)

        context.begin('field')
        points = starting_points(
            data.views, data.aabb, self.start_points, context, sparse=data.points
        )
        saved.save(asdict(points))
        return points


#: By build preset: the paper has no field of this kind.
PRESETS = {'fast': GaussianTraining(), 'paper': GaussianTraining()}


def _depths(points: StartingPoints, data: FieldViews) -> Tensor:
    """Depths of the points in the views that see them, (M,).

    Raises:
        CaldiffError: if no view sees any of them.
    """
    depths = point_depths(points.xyz, data.views.T_norm_cam, data.views.camera)
    if len(depths) == 0:
        raise CaldiffError(
            f'none of {len(points)} starting points ({points.source}) lies in front of any camera, '
            'expected a scene that the images show; check the poses'
        )

    return depths


def field_of(
    points: StartingPoints, data: FieldViews, near: float, training: GaussianTraining
) -> GaussianField:
    """Round Gaussians at points, as large as their distances."""
    config = GaussianConfig(
        count=len(points),
        sh_degree=training.sh_degree,
        near=near,
        focal_px=data.views.camera.fx,
    )
    field = GaussianField(config, data.aabb, data.background)
    xyz = points.xyz.double().numpy()
    nearest, _ = cKDTree(xyz).query(xyz, k=min(4, len(xyz)))
    distance = torch.from_numpy(np.atleast_2d(nearest)[:, 1:].mean(1)).float()

    with torch.no_grad():
        field.means.copy_(points.xyz)
        field.log_scales.copy_(distance.clamp_min(_LEAST_DISTANCE).log()[:, None].expand(-1, 3))
        field.logits.fill_(float(torch.logit(torch.tensor(training.opacity))))
        field.harmonics[:, 0] = (points.rgb - 0.5) / SH0

    return field


def nearest_plane(depths: Tensor) -> float:
    """Where a camera begins to see, from depths (M,) of a scene, in their unit."""
    return _NEAR_SHARE * float(torch.quantile(_thinned(depths), _NEAR_QUANTILE))


def _thinned(depths: Tensor) -> Tensor:
    """As many of depths (M,) as quantiles can be taken of."""
    return depths[:: 1 + len(depths) // _MOST_DEPTHS]


class GaussianTrainer(Trainer):
    """Takes steps on one whole training image each, while Gaussians are added and removed.

    Args:
        training: its numbers.
        module: the Gaussians to start from.
        data: the images.
        depth: median depth of the scene, normalized units.
        context: device and seed.
    """

    stage = 'field'
    checkpoint_interval = 500

    def __init__(
        self,
        training: GaussianTraining,
        module: GaussianField,
        data: FieldViews,
        depth: float,
        context: BuildContext,
    ) -> None:
        self.module: GaussianField = module
        self.generator = context.generator()
        self._training = training
        self._data = data
        self._depth = depth
        cameras = data.views.T_norm_cam
        self._growth = Growth(training.growth, module, cameras, training.budget, self.generator)
        self._sizes = {1: _images(data, 1, context.device), 2: _images(data, 2, context.device)}
        self._order: list[int] = []
        self._places = torch.zeros(0, 2)
        self._before = module.means.detach()
        self._shown: tuple[int, int] = (1, 1)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Each kind of parameter has a rate of its own."""
        t, field = self._training, self.module
        rates = (
            (field.means, t.means_learning_rate, 0.01),
            (field.log_scales, t.scales_learning_rate, 0.1),
            (field.quaternions, t.quaternions_learning_rate, 0.1),
            (field.logits, t.opacities_learning_rate, 0.1),
            (field.harmonics, t.colors_learning_rate, 0.1),
        )
        return [
            {'params': [value], 'lr': rate, 'final_share': share, 'eps': 1e-15}
            for value, rate, share in rates
        ]

    def adopt(self, optimizer: torch.optim.Optimizer) -> None:
        """See `Trainer`."""
        self._optimizer = optimizer

    def state(self) -> dict[str, Any]:
        """See `Trainer`."""
        return {'order': self._order, **self._growth.state()}

    def restore(self, state: dict[str, Any], module_state: dict[str, Any]) -> None:
        """As many Gaussians as the state has."""
        for name, value in list(self.module.named_parameters()):
            setattr(self.module, name, nn.Parameter(torch.zeros_like(module_state[name]).to(value)))

        self.module.distances = torch.zeros_like(module_state['distances']).to(self.module.means)
        self._order = list(state['order'])
        self._growth.restore(state)

    def loss(self, schedule: TrainingSchedule) -> Tensor:
        """Difference of a training image from the render, on a random background."""
        training = self._training
        coarse = schedule.steps < training.coarse_share * schedule.expected
        images = self._sizes[2 if coarse else 1]
        view = self._next_view()

        # 1. What the Gaussians show, with as many harmonics as there are by now
        field = self.module
        self._before = field.means.detach().clone()
        degree = min(training.sh_degree, 4 * schedule.steps // schedule.expected)
        harmonics = field.harmonics[:, : (degree + 1) ** 2]
        gaussians = field.gaussians._replace(harmonics=harmonics)
        self._places = torch.zeros(len(field.means), 2, device=field.means.device).requires_grad_()
        camera = images.camera
        self._shown = camera.width, camera.height
        pose = self._data.views.T_norm_cam[view : view + 1].to(field.means.device)
        shown = splat(gaussians, pose, field.seen_with(camera), places=self._places)
        shown = shown.view(camera.height, camera.width, 5)
        rgb, opacity = shown[..., :3], shown[..., 4]

        # 2. In front of a random grey an opaque surface is the only explanation of a colour
        grey = torch.rand(1, generator=self.generator).to(rgb)
        seen = images.seen[view]
        target = images.rgb[view] + (1 - images.alpha[view][..., None]) * grey
        rgb = rgb + (1 - opacity[..., None]) * grey
        # the structural similarity looks around a pixel, where nothing may differ that is not seen
        target = torch.where(seen[..., None] > 0, target, rgb.detach())
        loss = image_loss(rgb, target, seen, training.ssim_weight)

        # 3. No more and no larger Gaussians than the images need
        if self._data.views.alpha is not None:
            loss = loss + training.opacity_weight * gaussians.opacities.mean()
            scales = gaussians.scales / self._depth
            loss = loss + training.scale_weight * scales.mean()
            loss = loss + training.thickness_weight * scales.amin(1).mean()

        # 4. Depth
        if images.depth is not None and (training.exact_depth or self._growing(schedule)):
            depth = images.depth[view]
            expected = shown[..., 3] / opacity.clamp_min(0.01)
            error = (expected - depth).abs() * (depth > 0)
            loss = loss + training.depth_weight * error.mean() / self._depth

        return loss

    def after_step(self, schedule: TrainingSchedule) -> dict[str, float]:
        """Let Gaussians grow; PSNR on held-out images, now and then."""
        field, growth = self.module, self._training.growth
        with torch.no_grad():
            # Adam's steps are equally long for all; in the images they are so in this way
            step = field.means - self._before
            field.means.copy_(self._before + self._growth.distances[:, None] * step)

        if not bool(field.means.isfinite().all()):
            raise CaldiffError(
                f'the training of the field diverged at step {schedule.steps}, expected finite '
                'numbers; lower the learning rates, or check the poses'
            )

        if self._growing(schedule):
            by_place = self._places.grad
            if by_place is not None:
                self._growth.observe(by_place, *self._shown)
            if schedule.steps >= growth.start and schedule.steps % growth.interval == 0:
                self._growth.grow(self._optimizer, self._visible())

        numbers = {'gaussians': float(len(field.means))}
        held_out = self._data.held_out
        if held_out is not None and (schedule.ended or schedule.steps % PSNR_INTERVAL == 0):
            numbers['psnr'] = psnr(field, held_out, MAX_PSNR_VIEWS)

        return numbers

    def finish(self) -> None:
        """Measure how near the images come to each Gaussian."""
        field = self.module
        field.distances = nearest_distances(field.means.detach(), self._data.views.T_norm_cam)

    def _visible(self) -> Tensor | None:
        """See `Growth.grow`; a room's cameras are inside it, and the hull of their images empty."""
        if self._data.views.alpha is None:
            return None

        images = self._sizes[2]
        return visible_shares(self.module, self._data.views.T_norm_cam, images.camera)

    def _growing(self, schedule: TrainingSchedule) -> bool:
        return schedule.steps < self._training.growth.end_share * schedule.expected

    def _next_view(self) -> int:
        """Every view once, in random order, and again."""
        if not self._order:
            V = len(self._data.views)
            self._order = torch.randperm(V, generator=self.generator).tolist()
        return self._order.pop()


@dataclass(frozen=True)
class _Images:
    """Training images at one size."""

    camera: Camera
    rgb: Tensor
    alpha: Tensor
    seen: Tensor
    depth: Tensor | None


def _images(data: FieldViews, factor: int, device: torch.device) -> _Images:
    """The views, smaller by a factor."""
    views = data.views
    alpha = torch.ones_like(views.rgb[..., 0]) if views.alpha is None else views.alpha
    camera = views.camera.downscaled(factor)
    size = camera.height, camera.width

    def smaller(images: Tensor) -> Tensor:
        if factor == 1:
            return images.to(device)
        return F.interpolate(images[:, None].to(device), size, mode='area')[:, 0]

    depth = views.depth
    if depth is not None and factor > 1:
        # a mean of depths is none at an edge
        depth = F.interpolate(depth[:, None], size, mode='nearest')[:, 0]

    return _Images(
        camera,
        torch.stack([smaller(channel) for channel in views.rgb.unbind(-1)], dim=-1),
        smaller(alpha),
        (smaller(views.seen.float()) > 0.99).float(),
        None if depth is None else depth.to(device),
    )
