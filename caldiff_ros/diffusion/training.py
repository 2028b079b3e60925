# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training the pose diffusion model (sections 3.5 and 4.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from caldiff_ros.diffusion.conditioning import drop_out
from caldiff_ros.diffusion.model import DiffusionConfig, PoseDiffusion
from caldiff_ros.diffusion.schedule import add_noise, alpha_bars
from caldiff_ros.geometry import Pose
from caldiff_ros.training import (
    Checkpoint,
    Convergence,
    Course,
    Report,
    mixed_precision,
    no_report,
)

_CHECKPOINT_INTERVAL = 500
_DESCRIBE_AT_ONCE = 32
#: Shares of the images that are blurred and that are occluded, and the least blur that is one.
_DISTURBED, _MIN_SIGMA_PX = (0.5, 0.3), 0.1


@dataclass(frozen=True)
class DiffusionTraining:
    """How to train the pose diffusion model."""

    model: DiffusionConfig = field(default_factory=DiffusionConfig)
    iterations: int = 3000
    """Most optimizer steps: the training ends when the loss has ceased to fall, see
    ``convergence``."""
    convergence: Convergence | None = field(default_factory=lambda: Convergence(window=150))
    """When it has; None takes all ``iterations`` at a constant learning rate."""
    images: int = 128
    """Images in a step."""
    poses_per_image: int = 3
    """Noisy poses per image in a step: the image is encoded once for all of them."""
    learning_rate: float = 1e-3
    """Adam's learning rate."""
    balance: float = 2.0
    """lambda of equation 4, the weight of the quaternion's error."""
    snr_weights: tuple[float, float] | None = (1.0, 5.0)
    """Weigh the loss of a noisy pose by its signal-to-noise ratio, bounded by these two: min-SNR
    weights (arXiv 2303.09556), but those of pure noise, where the particles start, not zero."""
    train_backbone: bool = False
    """Train the backbone along, as the paper does. Otherwise its features are computed once per
    image, which is what makes training on thousands of rendered views affordable on a CPU."""
    feature_dropout: float = 0.2
    """Share of the backbone's features that a noisy pose does not see."""
    color_jitter: float = 0.15
    """Largest random change of brightness and of each colour channel, as a share."""
    blur: float = 0.025
    """Half of the images are blurred by a Gaussian of so large a standard deviation at most, as a
    share of their longer side."""
    occlusion: float = 0.35
    """Three of ten images are hidden by a rectangle of one colour over so large a share of them at
    most."""
    mixed_precision: bool = True
    """Multiply matrices in bfloat16 where the device is faster with it."""


def pose_vectors(T_norm_cam: Pose) -> Tensor:
    """Poses (P,) as vectors (P, 7); of the two quaternions of a rotation, the one with w >= 0."""
    return torch.cat([T_norm_cam.t, T_norm_cam.quaternion_wxyz()], dim=-1)


def poses_of(vectors: Tensor) -> Pose:
    """Vectors (P, 7) as poses (P,); the quaternions need no unit norm."""
    return Pose.from_quaternion(vectors[..., 3:], vectors[..., :3])


def balanced_loss(
    predicted: Tensor, target: Tensor, balance: float, weights: Tensor | float = 1.0
) -> Tensor:
    """Equation 4: mse of the position plus ``balance`` times mse of the quaternion.

    The paper compares P_{t-1} with the target pose although psi predicts noise, which can only hold
    for the pose that the noise implies; so that is what is compared, for both predictions.

    Args:
        predicted: pose vectors (P, 7).
        target: pose vectors (P, 7).
        balance: lambda.
        weights: of each pose, (P, 1), or one for all.
    """
    squared = weights * (predicted - target) ** 2
    return squared[..., :3].mean() + balance * squared[..., 3:].mean()


def snr_weights(alpha_bar: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Signal-to-noise ratios alpha_bar / (1 - alpha_bar) within bounds, over their mean."""
    weights = (alpha_bar / (1 - alpha_bar).clamp_min(1e-9)).clamp(*bounds)
    return weights / weights.mean()


def jitter_colors(images: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Images (B, H, W, 3) in 0..1 with random brightness and white balance."""
    shape = (len(images), 1, 1)
    brightness = torch.empty(*shape, 1).uniform_(1 - amount, 1 + amount, generator=generator)
    balance = torch.empty(*shape, 3).uniform_(1 - amount / 3, 1 + amount / 3, generator=generator)
    return (images * brightness * balance).clamp(0, 1)


def disturbed(images: Tensor, training: DiffusionTraining, generator: torch.Generator) -> Tensor:
    """Images (B, H, W, 3) in 0..1 as a robot may take them: relit, some blurred, some occluded."""
    images = jitter_colors(images, training.color_jitter, generator).permute(0, 3, 1, 2)
    height, width = images.shape[2:]
    chosen, strength = torch.rand(2, len(images), 2, generator=generator)
    sigma = training.blur * max(height, width) * strength[:, 0]
    area = training.occlusion * strength[:, 1]
    place = torch.rand(len(images), 2, generator=generator)
    color = torch.rand(len(images), 3, 1, 1, generator=generator)
    for i, (blurs, hides) in enumerate((chosen < torch.tensor(_DISTURBED)).tolist()):
        if blurs and sigma[i] > _MIN_SIGMA_PX:
            kernel = 2 * math.ceil(2 * float(sigma[i])) + 1
            images[i] = gaussian_blur(images[i], [kernel, kernel], [float(sigma[i])])
        if hides:
            h, w = (round(float(area[i].sqrt()) * side) for side in (height, width))
            top, left = int(place[i, 0] * (height - h + 1)), int(place[i, 1] * (width - w + 1))
            images[i, :, top : top + h, left : left + w] = color[i]
    return images.permute(0, 2, 3, 1)


def train_diffusion(
    images: Tensor,
    T_norm_cam: Pose,
    training: DiffusionTraining,
    seed: int = 0,
    device: torch.device | str = 'cpu',
    weights: Path | None = None,
    checkpoint: Path | None = None,
    report: Report = no_report,
) -> PoseDiffusion:
    """Train a pose diffusion model on images with known poses, real or rendered.

    Args:
        images: (V, H, W, 3) uint8.
        T_norm_cam: poses (V,), normalized coordinates.
        training: the model and how to train it.
        seed: of initialization, batches and noise.
        device: where to compute.
        weights: file with ImageNet weights of the backbone, see `make_conditioning`.
        checkpoint: file to resume from and to save to.
        report: receives 'loss' at every step.

    Returns:
        The model on ``device``, its parameters frozen.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = PoseDiffusion.make(training.model, weights).to(device).train()
    model.conditioning.backbone.requires_grad_(training.train_backbone)
    targets = pose_vectors(T_norm_cam).to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=training.learning_rate, fused=True)
    course = Course(training.convergence, training.iterations)
    saved = Checkpoint(
        checkpoint, f'{training} {seed} {len(images)} {model.conditioning.backbone_name}'
    )
    state = saved.load()
    if state is not None:
        course.restore(state['course'])
        model.load_state_dict(state['model'])
        optimizer.load_state_dict(state['optimizer'])
    described = (
        None
        if training.train_backbone
        else _describe_all(model, images, training, generator, report)
    )
    bars = alpha_bars(training.model.schedule).to(device, torch.float32)
    if state is not None:
        generator.set_state(state['generator'])
    while not course.ended:
        optimizer.param_groups[0]['lr'] = training.learning_rate * course.learning_rate
        batch = torch.randint(
            len(images), (min(training.images, len(images)),), generator=generator
        )
        if described is None:
            inputs = disturbed(images[batch].float() / 255, training, generator)
            seen = model.describe(inputs.to(device))
        else:
            seen = described[batch.to(device)]
        loss = _denoising_loss(model, seen, targets[batch.to(device)], bars, training, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        numbers = {'loss': loss.item()}
        course.advance(numbers['loss'])
        report('diffusion', course.steps, course.expected, numbers)
        if course.steps % _CHECKPOINT_INTERVAL == 0:
            saved.save(
                {
                    'course': course.state(),
                    'model': model.state_dict(),
                    'optimizer': optimizer.state_dict(),
                    'generator': generator.get_state(),
                }
            )
    return model.requires_grad_(False).eval()


def _denoising_loss(
    model: PoseDiffusion,
    described: Tensor,
    targets: Tensor,
    bars: Tensor,
    training: DiffusionTraining,
    generator: torch.Generator,
) -> Tensor:
    """Equation 4 for several noisy poses (equation 2) of each image."""
    device = targets.device
    clean = targets.repeat(training.poses_per_image, 1)
    t = torch.randint(1, len(bars), (len(clean),), generator=generator).to(device)
    noise = torch.randn(clean.shape, generator=generator).to(device)
    alpha_bar = bars[t][:, None]
    noisy = add_noise(clean, noise, alpha_bar)
    seen = drop_out(
        described.repeat(training.poses_per_image, 1), training.feature_dropout, generator
    )
    with mixed_precision(device, training.mixed_precision):
        features = model.conditioning.project(seen)
        predicted = model.predict_clean(noisy, alpha_bar, t.float(), features).float()
    bounds = training.snr_weights
    weights = 1.0 if bounds is None else snr_weights(alpha_bar, bounds)
    return balanced_loss(predicted, clean, training.balance, weights)


@torch.no_grad()
def _describe_all(
    model: PoseDiffusion,
    images: Tensor,
    training: DiffusionTraining,
    generator: torch.Generator,
    report: Report,
) -> Tensor:
    """What the frozen backbone says of every image, `disturbed`, (V, D)."""
    device = next(model.parameters()).device
    described = []
    for part in images.split(_DESCRIBE_AT_ONCE):
        inputs = disturbed(part.float() / 255, training, generator)
        described.append(model.describe(inputs.to(device)))
        report('features', sum(map(len, described)), len(images), {})
    return torch.cat(described)
