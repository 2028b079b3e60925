# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PoseNet: the pose of a camera regressed from its image (reference 12 of the paper).

A. Kendall, M. Grimes, R. Cipolla: PoseNet, ICCV 2015; the weights of the loss are learned as in
A. Kendall, R. Cipolla: Geometric loss functions for camera pose regression, CVPR 2017.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path

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
from caldiff_ros.mapping.context import Checkpoint, Report, no_report
from caldiff_ros.mapping.diffusion_training import jitter_colors

_CHECKPOINT_INTERVAL = 100
_DESCRIBED_AT_ONCE = 32
#: Added to the features' deviations, which are about 8 (EfficientNet-lite0): some are always 0.
_LEAST_DEVIATION = 1e-3


@dataclass(frozen=True)
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
    """Images in a step."""
    learning_rate: float = 1e-3
    """Adam's learning rate; falls to zero along a cosine in each of the two phases."""
    backbone_share: float = 0.1
    """The learning rate of the whole network as a share of the head's alone."""
    color_jitter: float = 0.15
    """Largest random change of brightness and of each colour channel, as a share."""


class PoseNet(nn.Module):
    """Backbone, one hidden layer with dropout, and the pose vector (t, q).

    Args:
        conditioning: backbone with ImageNet weights; its linear layer is the hidden one.
        dropout: share of the hidden layer that is left out in training.
    """

    def __init__(self, conditioning: ConditioningNetwork, dropout: float) -> None:
        super().__init__()
        self.conditioning, self.dropout = conditioning, dropout
        n_features = conditioning.projection.in_features
        self.register_buffer('mean', torch.zeros(n_features))
        self.register_buffer('deviation', torch.ones(n_features))
        self.pose = nn.Linear(conditioning.config.width, 7)
        self.log_variances = nn.Parameter(torch.tensor([0.0, -3.0]))

    def forward(self, images: Tensor) -> Tensor:
        """Pose vectors (B, 7) of images (B, 3, h, w), normalized coordinates, q of any norm."""
        return self.regress(self.conditioning.describe(images))

    def regress(self, described: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pose vectors (B, 7) from what the backbone found, (B, D).

        Args:
            described: from ``conditioning.describe``.
            generator: draws what is left out of the hidden layer; None leaves out nothing.
        """
        hidden = self.conditioning.project((described - self.mean) / self.deviation)
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


def train_posenet(
    images: Tensor,
    T_norm_cam: Pose,
    training: PoseNetTraining,
    seed: int = 0,
    device: torch.device | str = 'cpu',
    checkpoint: Path | None = None,
    report: Report = no_report,
) -> PoseNet:
    """Train on images with known poses.

    Args:
        images: (V, 3, h, w) in 0..1, at the resolution at which the network is shown queries.
        T_norm_cam: poses (V,), normalized coordinates.
        training: the network and how to train it.
        seed: of initialization, batches, colours and dropout.
        device: where to compute.
        checkpoint: file to resume from and to save to.
        report: receives 'loss' at every step of the stage 'posenet'.

    Returns:
        The network on ``device``, its parameters frozen.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = PoseNet(make_conditioning(training.conditioning), training.dropout).to(device).train()
    backbone, name = network.conditioning.backbone, network.conditioning.backbone_name
    targets = pose_vectors(T_norm_cam).to(device)
    described = _described(network, images, training, generator)
    network.mean, network.deviation = described.mean(0), described.std(0) + _LEAST_DEVIATION
    optimizer = torch.optim.Adam(network.parameters())
    saved = Checkpoint(checkpoint, f'{training} {seed} {name} {_digest(images, targets)}')
    state = saved.load()
    start = 0
    if state is not None:
        start = state['step']
        network.load_state_dict(state['network'])
        optimizer.load_state_dict(state['optimizer'])
        generator.set_state(state['generator'])
    for step in range(start, training.iterations):
        whole = step >= training.head_iterations
        backbone.requires_grad_(whole)
        optimizer.param_groups[0]['lr'] = _learning_rate(step, training)
        if whole:
            batch = torch.randint(len(images), (training.images,), generator=generator)
            colored = _jittered(images[batch], training, generator).to(device)
            seen = network.conditioning.describe(colored)
        else:
            batch = torch.randint(len(described), (training.images,), generator=generator)
            seen = described[batch.to(device)]
        target = targets[(batch % len(images)).to(device)]
        loss = network.loss(network.regress(seen, generator), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        report('posenet', step + 1, training.iterations, {'loss': loss.item()})
        if (step + 1) % _CHECKPOINT_INTERVAL == 0 or step + 1 == training.iterations:
            saved.save(
                {
                    'step': step + 1,
                    'network': network.state_dict(),
                    'optimizer': optimizer.state_dict(),
                    'generator': generator.get_state(),
                }
            )
    return network.requires_grad_(False).eval()


def _learning_rate(step: int, training: PoseNetTraining) -> float:
    """A cosine to zero in each phase; the second begins lower."""
    head = training.head_iterations
    if step < head:
        return training.learning_rate * (1 + math.cos(math.pi * step / head)) / 2
    done = (step - head) / (training.iterations - head)
    start = training.backbone_share * training.learning_rate
    return start * (1 + math.cos(math.pi * done)) / 2


def _jittered(images: Tensor, training: PoseNetTraining, generator: torch.Generator) -> Tensor:
    """Images (B, 3, h, w) with other colours."""
    last = images.permute(0, 2, 3, 1)
    return jitter_colors(last, training.color_jitter, generator).permute(0, 3, 1, 2)


@torch.no_grad()
def _described(
    network: PoseNet, images: Tensor, training: PoseNetTraining, generator: torch.Generator
) -> Tensor:
    """What the backbone finds before its training in copies of the images, (copies * V, D)."""
    device = network.mean.device
    return torch.cat(
        [
            network.conditioning.describe(_jittered(part, training, generator).to(device))
            for _ in range(training.head_copies)
            for part in images.split(_DESCRIBED_AT_ONCE)
        ]
    )


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
