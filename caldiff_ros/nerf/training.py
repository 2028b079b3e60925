# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training a radiance field on posed images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.nerf.bounds import initial_occupancy
from caldiff_ros.nerf.factorized import FactorizedConfig, FactorizedField
from caldiff_ros.nerf.field import BACKGROUND_COLORS, pixel_directions, render_images
from caldiff_ros.nerf.marching import distortion
from caldiff_ros.nerf.tiny import TinyNerf, TinyNerfConfig
from caldiff_ros.nerf.views import Views
from caldiff_ros.training import Checkpoint, Convergence, Course, Report, no_report


@dataclass(frozen=True)
class FactorizedTraining:
    """How to train the factorized field, the default: minutes on a CPU."""

    field: FactorizedConfig = dataclass_field(default_factory=FactorizedConfig)
    iterations: int = 2000
    """Most optimizer steps: the training ends when the loss has ceased to fall, see
    ``convergence``."""
    convergence: Convergence = dataclass_field(default_factory=Convergence)
    """When the factors grow, and when the training comes to its end."""
    rays: int = 4096
    """Rays in a step, drawn from all training images."""
    learning_rate: float = 0.03
    """Adam's learning rate for the factors."""
    network_learning_rate: float = 0.003
    """Adam's learning rate for the colour network."""
    depth_weight: float = 0.1
    """Weight of the mean depth error (normalized units) where the dataset has depth images."""
    exact_depth: bool = False
    """Whether depth images are as exact as rendered ones: then their error counts until the end,
    and else while the factors grow, as many a depth camera is centimetres off."""
    distortion_weight: float = 0.1
    """Weight of the mean distance between what a ray shows, in normalized units, see `distortion`:
    images from few sides leave room for thick surfaces, seen too large from other sides."""
    growth: tuple[tuple[float, float], ...] = ((0.0, 0.25), (0.2, 0.5), (0.5, 1.0))
    """From which share of ``iterations`` on, at the latest, the factors have which share of their
    resolution. Many rays pass a coarse cell, so that few images are explained by surfaces and not
    by clouds."""

    def __post_init__(self) -> None:
        starts, sizes = [start for start, _ in self.growth], [size for _, size in self.growth]
        ascending = starts == sorted(starts) and sizes == sorted(sizes)
        complete = starts[:1] == [0] and starts[-1] < 1 and sizes[-1] == 1
        if not (complete and ascending and sizes[0] > 0):
            raise CaldiffError(
                f'growth is {self.growth}, expected pairs of a start and a size, both ascending, '
                'from start 0 to size 1, such as 0 0.25 0.5 1; correct it'
            )

    def course(self, pixels: int) -> Course:
        """The stages of the training, those of the growth, on so many pixels.

        Of many images a few steps see next to nothing, and the loss seems to stand still.
        """
        window = max(self.convergence.window, round(_WINDOW_SHARE * pixels / self.rays))
        convergence = replace(self.convergence, window=window)
        return Course(convergence, self.iterations, [start for start, _ in self.growth])

    def resolution(self, course: Course) -> int:
        """Cells along each edge of the factors at present, for a resolved configuration."""
        return max(2, round(self.growth[course.stage][1] * self.field.resolution))


@dataclass(frozen=True)
class TinyNerfTraining:
    """How to train TinyNeRF as in the paper (section 4.2): hours on a GPU, not for a CPU."""

    field: TinyNerfConfig = dataclass_field(default_factory=TinyNerfConfig)
    iterations: int = 20_000
    """Optimizer steps, one whole training image each."""
    learning_rate: float = 5e-4
    """Adam's learning rate; the paper does not give it, this is that of the published TinyNeRF."""

    def course(self, pixels: int) -> Course:
        """One stage, however many pixels."""
        return Course(None, self.iterations)


FieldTraining = FactorizedTraining | TinyNerfTraining
Field = FactorizedField | TinyNerf

#: Rays in a window of the convergence, at least, as a share of all there are.
_WINDOW_SHARE = 1 / 6
#: Occupancy is measured after so many steps.
_OCCUPANCY_INTERVAL = 100
#: A step that is less opaque holds nothing, once the training has settled.
_MIN_OPACITY = 0.01
#: PSNR on held-out views is reported after so many steps, and at the end.
_PSNR_INTERVAL = 500
_MAX_PSNR_VIEWS = 4
_CHECKPOINT_INTERVAL = 200


@dataclass(frozen=True)
class _RayPool:
    """Training rays (N, 3), (N, 3) and their pixels (N, 5): premultiplied rgb, alpha, depth."""

    origins: Tensor
    directions: Tensor
    pixels: Tensor

    @classmethod
    def of(cls, views: Views, keep_background_rays: bool, field: Field) -> _RayPool:
        directions = pixel_directions(views.camera)
        directions = (directions @ views.T_norm_cam.R.transpose(-1, -2)).flatten(0, 1)
        origins = views.T_norm_cam.t[:, None].expand(-1, views.seen[0].numel(), 3).flatten(0, 1)
        alpha = torch.ones_like(views.rgb[..., 0]) if views.alpha is None else views.alpha
        depth = torch.zeros_like(alpha) if views.depth is None else views.depth
        pixels = torch.cat([views.rgb, alpha[..., None], depth[..., None]], dim=-1).flatten(0, 2)
        keep = views.seen.flatten()
        if not keep_background_rays:
            keep = keep & _hits(field, origins, directions)
        return cls(origins[keep], directions[keep], pixels[keep])

    def to(self, device: torch.device) -> _RayPool:
        return _RayPool(*(x.to(device) for x in (self.origins, self.directions, self.pixels)))


def _hits(field: FactorizedField, origins: Tensor, directions: Tensor) -> Tensor:
    """Rays that pass occupied voxels: the others teach nothing."""
    hits = torch.zeros(len(origins), dtype=torch.bool)
    for part in torch.arange(len(origins)).split(1 << 16):
        samples = field.occupancy.sample(origins[part], directions[part], field.config.near)
        hits[part[samples.ray]] = True
    return hits


def resolved(training: FieldTraining, views: Views, aabb: Tensor) -> FieldTraining:
    """The same training with every size that is None chosen for these images."""
    if isinstance(training, TinyNerfTraining):
        return training
    config = training.field
    distance = (views.T_norm_cam.t - aabb.mean(0)).norm(dim=-1).median()
    footprint = float(distance) / views.camera.fx
    cells = float((aabb[1] - aabb[0]).prod()) ** (1 / 3) / footprint
    resolution = config.resolution or min(256, max(128, 32 * round(2 * cells / 32)))
    near = 0.05
    if views.depth is not None and bool((views.depth > 0).any()):
        near = 0.5 * float(views.depth[views.depth > 0].min())
    config = replace(
        config,
        resolution=resolution,
        occupancy_resolution=config.occupancy_resolution or resolution // 2,
        near=near if config.near is None else config.near,
    )
    return replace(training, field=config)


def make_field(training: FieldTraining, aabb: Tensor, background: str) -> Field:
    """An untrained field."""
    kind = FactorizedField if isinstance(training, FactorizedTraining) else TinyNerf
    return kind(training.field, aabb, background)


def _optimizer(field: Field, training: FieldTraining) -> torch.optim.Optimizer:
    if isinstance(training, TinyNerfTraining):
        groups = [{'params': list(field.parameters()), 'initial_lr': training.learning_rate}]
        return torch.optim.Adam(groups, lr=training.learning_rate)
    network = list(field.color_net.parameters())
    factors = [p for name, p in field.named_parameters() if not name.startswith('color_net')]
    rates = training.learning_rate, training.network_learning_rate
    groups = [
        {'params': parameters, 'lr': rate, 'initial_lr': rate}
        for parameters, rate in zip((factors, network), rates, strict=True)
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)


def train_field(
    views: Views,
    held_out: Views | None,
    aabb: Tensor,
    background: str,
    training: FieldTraining,
    seed: int = 0,
    device: torch.device | str = 'cpu',
    checkpoint: Path | None = None,
    report: Report = no_report,
) -> Field:
    """Train a field on ``views``.

    Args:
        views: training images.
        held_out: images whose PSNR is reported; they influence nothing.
        aabb: box that holds the scene, (2, 3), normalized coordinates.
        background: 'white', 'black' or 'none', what the trained field shows behind the scene.
        training: which field, and how.
        seed: of the initialization and of the rays.
        device: where to compute.
        checkpoint: file to resume from and to save to.
        report: receives 'loss' at every step and 'psnr' now and then.

    Returns:
        The field on ``device``, its parameters frozen.
    """
    torch.manual_seed(seed)
    training = resolved(training, views, aabb)
    field = make_field(training, aabb, background)
    factorized = isinstance(field, FactorizedField)
    if factorized:
        occupied = initial_occupancy(views, field.aabb, field.occupancy.resolution)
        if occupied is not None:
            field.occupancy.set_occupied(occupied)
    pool = _RayPool.of(views, not factorized or views.alpha is None, field).to(device)
    field.to(device)
    generator = torch.Generator(device).manual_seed(seed)
    saved = Checkpoint(checkpoint, f'{training} {seed} {len(pool.pixels)} {field.aabb.tolist()}')
    state, course = saved.load(), training.course(len(pool.pixels))
    if state is not None:
        course.restore(state['course'])
    if factorized:
        field.resample(training.resolution(course))
    optimizer = _optimizer(field, training)
    if state is not None:
        field.load_state_dict(state['field'])
        optimizer.load_state_dict(state['optimizer'])
        generator.set_state(state['generator'])
    while not course.ended:
        for group in optimizer.param_groups:
            group['lr'] = group['initial_lr'] * course.learning_rate
        loss = _step(field, pool, training, len(views), generator, course)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        stage, numbers = course.stage, {'loss': loss.item()}
        course.advance(numbers['loss'])
        if factorized and course.steps % _OCCUPANCY_INTERVAL == 0:
            # early on, only what the images have made emptier than it was is empty
            grown = course.stage + 1 == len(training.growth)
            field.update_occupancy(_MIN_OPACITY if grown else field.initial_opacity / 2)
        if course.stage != stage:
            field.resample(training.resolution(course))
            optimizer = _optimizer(field, training)
        if held_out is not None and (course.ended or course.steps % _PSNR_INTERVAL == 0):
            numbers['psnr'] = psnr(field, held_out, _MAX_PSNR_VIEWS)
        report('field', course.steps, course.expected, numbers)
        if course.ended or course.steps % _CHECKPOINT_INTERVAL == 0:
            saved.save(
                {
                    'course': course.state(),
                    'field': field.state_dict(),
                    'optimizer': optimizer.state_dict(),
                    'generator': generator.get_state(),
                }
            )
    if factorized:
        field.update_occupancy(_MIN_OPACITY)
    return field.requires_grad_(False).eval()


def _step(
    field: Field,
    pool: _RayPool,
    training: FieldTraining,
    n_views: int,
    generator: torch.Generator,
    course: Course,
) -> Tensor:
    """Loss of one step on random rays, or on one random image for TinyNeRF."""
    device = pool.pixels.device
    if isinstance(training, TinyNerfTraining):
        pixels = len(pool.pixels) // n_views
        view = int(torch.randint(n_views, (1,), generator=generator, device=device))
        rays = torch.arange(view * pixels, (view + 1) * pixels, device=device)
    else:
        rays = torch.randint(len(pool.pixels), (training.rays,), generator=generator, device=device)
    # A random background behind each ray leaves an opaque surface as the only explanation of a
    # colour, for images with alpha and for photographs alike.
    random = torch.rand(len(rays), 2, generator=generator, device=device)
    background, pixels = random[:, :1], pool.pixels[rays]
    target = pixels[:, :3] + (1 - pixels[:, 3:4]) * background
    origins, directions = pool.origins[rays], pool.directions[rays]
    if isinstance(training, TinyNerfTraining):
        out = field.render(origins, directions, jitter=random[:, 1], background=background)
        return F.mse_loss(out.rgb, target)
    # coarse factors need no more than a sample per cell or so
    sampling = min(1.0, 2 * training.growth[course.stage][1])
    samples, weights = field.march(origins, directions, sampling, random[:, 1])
    out = field.composite(samples, weights, origins, directions, background)
    grown, step = course.stage + 1 == len(training.growth), field.occupancy.step / sampling
    depth_error = spread = 0.0
    if training.exact_depth or not grown:
        depth = pixels[:, 4]
        depth_error = ((out.depth - depth).abs() * (depth > 0)).mean()
    if grown:
        spread = distortion(samples, weights, step, len(rays))
    return (
        F.mse_loss(out.rgb, target)
        + training.depth_weight * depth_error
        + training.distortion_weight * spread
        + field.regularization()
    )


def psnr(field: Field, views: Views, max_views: int | None = None) -> float:
    """Mean peak signal-to-noise ratio over views, in dB, on the field's background."""
    poses, device = views.T_norm_cam[:max_views], field.aabb.device
    target = views.on_background(BACKGROUND_COLORS[field.background])[:max_views].to(device)
    error = (render_images(field, poses.to(device), views.camera).rgb - target) ** 2
    return float(-10 * torch.log10(error.mean(dim=(1, 2, 3))).mean())
