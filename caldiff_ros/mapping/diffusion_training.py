# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training the pose diffusion model (sections 3.5 and 4.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from caldiff_ros.devices import mixed_precision
from caldiff_ros.diffusion.conditioning import drop_out
from caldiff_ros.diffusion.model import DiffusionConfig, PoseDiffusion
from caldiff_ros.diffusion.schedule import add_noise, alpha_bars
from caldiff_ros.diffusion.vectors import pose_vectors
from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.disturbances import motion_blurred, occlude
from caldiff_ros.mapping.training_loop import PlateauRule, Trainer, TrainingSchedule, train

_IMAGES_AT_ONCE = 32
#: Shares of the images that are blurred and that are occluded, how many of the former by motion,
#: and the least blur that is one.
_BLURRED_AND_OCCLUDED = (0.5, 0.3)
_MOVED = 0.5
_MIN_SIGMA_PX = 0.1


@dataclass(frozen=True, kw_only=True)
class DiffusionTraining:
    """How to train the pose diffusion model."""

    model: DiffusionConfig = field(default_factory=DiffusionConfig)
    iterations: int = 3000
    """Maximum number of optimizer steps; training ends earlier when the loss has stopped falling,
    see ``convergence``."""
    convergence: PlateauRule | None = field(default_factory=lambda: PlateauRule(window=150))
    """When the loss has stopped falling; None runs all ``iterations`` at a constant learning
    rate."""
    images: int = 128
    """Batch size in images."""
    poses_per_image: int = 3
    """Noisy poses per image and step; the image is encoded once for all of them."""
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
    """Fraction of the backbone's features that is dropped for each noisy pose."""
    color_jitter: float = 0.15
    """Largest random change of brightness and of each colour channel, as a share."""
    blur: float = 0.025
    """Half of the images are blurred, in all directions or along one, with at most this standard
    deviation, as a share of their longer side."""
    occlusion: float = 0.35
    """Three of ten images are partly occluded, up to this fraction, see `occlude`."""
    mixed_precision: bool = True
    """Use bfloat16 for matrix products if that is faster on the device."""


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


def augment(images: Tensor, training: DiffusionTraining, generator: torch.Generator) -> Tensor:
    """Images (B, H, W, 3) in 0..1 as a robot may take them: relit, some blurred, some occluded."""
    images = jitter_colors(images, training.color_jitter, generator)
    random = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    height, width = images.shape[1:3]

    for i in range(len(images)):
        blurs, hides = random.random(2) < _BLURRED_AND_OCCLUDED
        sigma = training.blur * max(height, width) * random.random()
        area = training.occlusion * random.random()
        moves, angle = random.random() < _MOVED, random.uniform(0, math.pi)

        blurs &= sigma > _MIN_SIGMA_PX
        hides &= area > 0
        if not (blurs or hides):
            continue

        image = (images[i] * 255).round().to(torch.uint8).numpy()
        if blurs and moves:
            # over a length whose standard deviation this is
            image = motion_blurred(image, math.sqrt(12) * sigma, angle)
        elif blurs:
            image = cv2.GaussianBlur(image, (0, 0), sigma)
        if hides:
            image = occlude(image, area, random)
        images[i] = torch.from_numpy(image).float() / 255

    return images


def train_diffusion(
    images: Tensor,
    T_norm_cam: Pose,
    training: DiffusionTraining,
    context: BuildContext,
    weights: Path | None = None,
) -> PoseDiffusion:
    """Train a pose diffusion model on images with known poses, real or rendered.

    Args:
        images: (V, H, W, 3) uint8.
        T_norm_cam: poses (V,), normalized coordinates.
        training: the model and how to train it.
        context: receives the progress of 'features' and the 'loss' of 'diffusion'.
        weights: file with ImageNet weights of the backbone, see `make_conditioning`.

    Returns:
        The model on the context's device, its parameters frozen.
    """
    with context.seeded():
        model = PoseDiffusion.make(training.model, weights).to(context.device).train()

    saved = context.checkpoint(
        'diffusion', training, images, T_norm_cam, model.conditioning.backbone_name
    )

    trainer = DiffusionTrainer(training, model, images, T_norm_cam=T_norm_cam, context=context)
    train(trainer, TrainingSchedule(training.convergence, training.iterations), context, saved)
    return model


class DiffusionTrainer(Trainer):
    """Takes denoising steps on a batch of images, each with several noisy poses.

    Args:
        training: its numbers.
        module: the model, untrained.
        images: (V, H, W, 3) uint8.
        T_norm_cam: their poses (V,).
        context: device and seed.
    """

    stage = 'diffusion'
    checkpoint_interval = 500

    def __init__(
        self,
        training: DiffusionTraining,
        module: PoseDiffusion,
        images: Tensor,
        T_norm_cam: Pose,
        context: BuildContext,
    ) -> None:
        module.conditioning.backbone.requires_grad_(training.train_backbone)
        self.module: PoseDiffusion = module
        self.generator = context.generator()
        self._training = training
        self._images = images
        self._device = context.device
        self._targets = pose_vectors(T_norm_cam).to(context.device)
        self._bars = alpha_bars(training.model.schedule).to(context.device, torch.float32)
        self._features = None if training.train_backbone else self._extract_features(context)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is not frozen."""
        trained = [p for p in self.module.parameters() if p.requires_grad]
        return [{'params': trained, 'lr': self._training.learning_rate}]

    def loss(self, schedule: TrainingSchedule) -> Tensor:
        """Equation 4 for several noisy poses (equation 2) of each image of a random batch."""
        training = self._training
        n = len(self._images)
        batch = torch.randint(n, (min(training.images, n),), generator=self.generator)

        if self._features is None:
            inputs = augment(self._images[batch].float() / 255, training, self.generator)
            features = self.module.extract_features(inputs.to(self._device))
        else:
            features = self._features[batch.to(self._device)]

        return self._denoising_loss(features, self._targets[batch.to(self._device)])

    def _denoising_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        training = self._training

        # 1. Noisy poses
        clean = targets.repeat(training.poses_per_image, 1)
        t = torch.randint(1, len(self._bars), (len(clean),), generator=self.generator)
        t = t.to(self._device)
        noise = torch.randn(clean.shape, generator=self.generator).to(self._device)
        alpha_bar = self._bars[t][:, None]
        noisy = add_noise(clean, noise, alpha_bar)

        # 2. What the model makes of them
        seen = drop_out(
            features.repeat(training.poses_per_image, 1), training.feature_dropout, self.generator
        )
        with mixed_precision(self._device, training.mixed_precision):
            projected = self.module.conditioning.project(seen)
            predicted = self.module.predict_clean(
                noisy, alpha_bar, t.float(), features=projected
            ).float()

        # 3. How far that is off
        bounds = training.snr_weights
        weights = 1.0 if bounds is None else snr_weights(alpha_bar, bounds)
        return balanced_loss(predicted, clean, training.balance, weights)

    @torch.no_grad()
    def _extract_features(self, context: BuildContext) -> Tensor:
        """Features of the frozen backbone for every image, augmented, (V, D)."""
        features: list[Tensor] = []
        done = 0

        for part in self._images.split(_IMAGES_AT_ONCE):
            inputs = augment(part.float() / 255, self._training, self.generator)
            features.append(self.module.extract_features(inputs.to(self._device)))
            done += len(part)
            context.progress('features', done, len(self._images))

        return torch.cat(features)
