# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PoseNet: the pose of a camera regressed from its image (reference 12 of the paper).

A. Kendall, M. Grimes, R. Cipolla: PoseNet, ICCV 2015; the weights of the loss are learned as in
A. Kendall, R. Cipolla: Geometric loss functions for camera pose regression, CVPR 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from caldiff_ros.diffusion.conditioning import (
    ConditioningConfig,
    ConditioningNetwork,
    drop_out,
    make_conditioning,
)
from caldiff_ros.diffusion.vectors import pose_vectors
from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.diffusion_training import jitter_colors
from caldiff_ros.mapping.training_loop import Trainer, TrainingSchedule, train

_IMAGES_AT_ONCE = 32
#: Added to the features' deviations, which are about 8 (EfficientNet-lite0): some are always 0.
_LEAST_DEVIATION = 1e-3


@dataclass(frozen=True, kw_only=True)
class PoseNetTraining:
    """The regressor and its training: first the head alone, then the whole network.

    The first gradients of a random head would spoil what the backbone knows from ImageNet.
    """

    conditioning: ConditioningConfig = field(
        default_factory=lambda: ConditioningConfig(grid=2, width=512)
    )
    """The backbone and how its feature map is pooled; ``width`` is that of the hidden layer."""
    dropout: float = 0.5
    """Share of the hidden layer that is left out in a training step, as in PoseNet."""
    head_iterations: int = 1500
    """Optimizer steps of the head alone, on features that are computed once."""
    head_copies: int = 6
    """Copies of every image with other colours, of which the features are computed."""
    iterations: int = 1620
    """Optimizer steps in all; the whole network is trained in the rest of them."""
    images: int = 32
    """Batch size in images."""
    learning_rate: float = 1e-3
    """Adam's learning rate; falls to zero along a cosine in each of the two phases."""
    backbone_share: float = 0.1
    """Learning rate of the whole network as a fraction of that of the head."""
    color_jitter: float = 0.15
    """Largest random change of brightness and of each colour channel, as a share."""


class PoseNet(nn.Module):
    """Backbone, one hidden layer with dropout, and the pose vector (t, q).

    Args:
        conditioning: backbone with ImageNet weights; its linear layer is the hidden one.
        dropout: share of the hidden layer that is left out in training.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, conditioning: ConditioningNetwork, dropout: float) -> None:
        super().__init__()
        self.conditioning = conditioning
        self.dropout = dropout
        n_features = conditioning.projection.in_features
        self.register_buffer('mean', torch.zeros(n_features))
        self.register_buffer('deviation', torch.ones(n_features))
        self.pose = nn.Linear(conditioning.config.width, 7)
        self.log_variances = nn.Parameter(torch.tensor([0.0, -3.0]))

    def forward(self, images: Tensor) -> Tensor:
        """Pose vectors (B, 7) of images (B, 3, h, w), normalized coordinates, q of any norm."""
        return self.regress(self.conditioning.extract_features(images))

    def regress(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pose vectors (B, 7) from what the backbone found, (B, D).

        Args:
            features: from ``conditioning.extract_features``.
            generator: draws what is left out of the hidden layer; None leaves out nothing.
        """
        hidden = self.conditioning.project((features - self.mean) / self.deviation)
        if generator is not None:
            hidden = drop_out(hidden, self.dropout, generator)

        return self.pose(hidden)

    def loss(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Of pose vectors (B, 7), the target's quaternions with w >= 0.

        The errors of position and quaternion as L1 norms with learned weights, section 3.2 of
        Kendall & Cipolla 2017.
        """
        error = (predicted - target).abs()
        errors = torch.stack([error[:, :3].sum(1).mean(), error[:, 3:].sum(1).mean()])
        return (errors * (-self.log_variances).exp() + self.log_variances).sum()


class TwoPhaseSchedule(TrainingSchedule):
    """A cosine to zero for the head alone, and a lower one for the whole network.

    Args:
        training: lengths and learning rates.
    """

    def __init__(self, training: PoseNetTraining) -> None:
        super().__init__(None, training.iterations)
        self._training = training

    @property
    def learning_rate(self) -> float:
        """See `TrainingSchedule`."""
        head = self._training.head_iterations
        if self.steps < head:
            return (1 + math.cos(math.pi * self.steps / head)) / 2

        done = (self.steps - head) / (self._training.iterations - head)
        return self._training.backbone_share * (1 + math.cos(math.pi * done)) / 2


class PoseNetTrainer(Trainer):
    """Takes steps on batches of images: of their features first, then through the backbone.

    Args:
        training: its numbers.
        module: the network, untrained.
        images: (V, 3, h, w) in 0..1.
        T_norm_cam: their poses (V,).
        context: device and seed.
    """

    stage = 'posenet'
    checkpoint_interval = 100

    def __init__(
        self,
        training: PoseNetTraining,
        module: PoseNet,
        images: Tensor,
        T_norm_cam: Pose,
        context: BuildContext,
    ) -> None:
        self.module: PoseNet = module
        self.generator = context.generator()
        self._training = training
        self._images = images
        self._device = context.device
        self._targets = pose_vectors(T_norm_cam).to(context.device)
        self._features = self._extract_features()
        module.mean = self._features.mean(0)
        module.deviation = self._features.std(0) + _LEAST_DEVIATION

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All; those of the backbone have no gradients in the first phase."""
        return [{'params': list(self.module.parameters()), 'lr': self._training.learning_rate}]

    def loss(self, schedule: TrainingSchedule) -> Tensor:
        """Loss of a random batch."""
        whole = schedule.steps >= self._training.head_iterations
        self.module.conditioning.backbone.requires_grad_(whole)
        n = len(self._images) if whole else len(self._features)
        batch = torch.randint(n, (self._training.images,), generator=self.generator)

        if whole:
            colored = self._jittered(self._images[batch]).to(self._device)
            features = self.module.conditioning.extract_features(colored)
        else:
            features = self._features[batch.to(self._device)]

        target = self._targets[(batch % len(self._images)).to(self._device)]
        return self.module.loss(self.module.regress(features, self.generator), target)

    def _jittered(self, images: Tensor) -> Tensor:
        """Images (B, 3, h, w) with other colours."""
        last = images.permute(0, 2, 3, 1)
        jittered = jitter_colors(last, self._training.color_jitter, self.generator)
        return jittered.permute(0, 3, 1, 2)

    @torch.no_grad()
    def _extract_features(self) -> Tensor:
        """Features before the training, of copies of the images, (copies * V, D)."""
        return torch.cat(
            [
                self.module.conditioning.extract_features(self._jittered(part).to(self._device))
                for _ in range(self._training.head_copies)
                for part in self._images.split(_IMAGES_AT_ONCE)
            ]
        )


def train_posenet(
    images: Tensor, T_norm_cam: Pose, training: PoseNetTraining, context: BuildContext
) -> PoseNet:
    """Train on images with known poses.

    Args:
        images: (V, 3, h, w) in 0..1, at the resolution at which the network is shown queries.
        T_norm_cam: poses (V,), normalized coordinates.
        training: the network and how to train it.
        context: receives 'loss' at every step of the stage 'posenet'.

    Returns:
        The network on the context's device, its parameters frozen.
    """
    with context.seeded():
        conditioning = make_conditioning(training.conditioning)
        network = PoseNet(conditioning, training.dropout).to(context.device).train()
    saved = context.checkpoint('posenet', training, images, T_norm_cam, conditioning.backbone_name)

    trainer = PoseNetTrainer(training, network, images, T_norm_cam, context)
    train(trainer, TwoPhaseSchedule(training), context, saved)
    return network
