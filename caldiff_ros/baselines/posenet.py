# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PoseNet + iNeRF (references 12 and 11 of the paper): the pose regressed, then refined.

A. Kendall, M. Grimes, R. Cipolla: PoseNet, ICCV 2015; the weights of the loss are learned as in
A. Kendall, R. Cipolla: Geometric loss functions for camera pose regression, CVPR 2017.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from caldiff_ros.baselines.proposals import ProposalLocalizer
from caldiff_ros.baselines.training_views import network_images
from caldiff_ros.diffusion.conditioning import (
    ConditioningConfig,
    ConditioningNetwork,
    drop_out,
    make_conditioning,
)
from caldiff_ros.diffusion.training import jitter_colors, pose_vectors, poses_of
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run
from caldiff_ros.nerf.views import Views
from caldiff_ros.training import Checkpoint, Report, no_report, pick_device

_CHECKPOINT_INTERVAL = 100


@dataclass(frozen=True)
class PoseNetTraining:
    """The regressor and its training."""

    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    """The backbone and how its feature map is pooled; ``width`` is that of the hidden layer."""
    dropout: float = 0.5
    """Share of the hidden layer that is left out in a training step, as in PoseNet."""
    head_iterations: int = 300
    """Optimizer steps in which only the head is trained: its first gradients would spoil what the
    backbone knows from ImageNet."""
    iterations: int = 500
    """Optimizer steps in all; the whole network is trained in the rest of them."""
    images: int = 32
    """Images in a step."""
    learning_rate: float = 1e-3
    """Adam's learning rate for the head; falls to zero along a cosine."""
    backbone_share: float = 0.1
    """The learning rate of the backbone as a share of the head's."""
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
        self.pose = nn.Linear(conditioning.config.width, 7)
        self.log_variances = nn.Parameter(torch.tensor([0.0, -3.0]))

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pose vectors (B, 7) in normalized coordinates, the quaternion of any norm.

        Args:
            images: (B, 3, h, w) in 0..1.
            generator: draws what is left out; None leaves out nothing.
        """
        hidden = self.conditioning.project(self.conditioning.describe(images))
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
    """Train on images (V, 3, h, w) in 0..1 with poses (V,), normalized coordinates.

    Args:
        images: at the resolution at which queries are shown to the network.
        T_norm_cam: their poses.
        training: the network and how to train it.
        seed: of initialization, batches, jitter and dropout.
        device: where to compute.
        checkpoint: file to resume from and to save to.
        report: receives 'loss' at every step of the stage 'posenet'.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = PoseNet(make_conditioning(training.conditioning), training.dropout).to(device).train()
    backbone = network.conditioning.backbone
    targets = pose_vectors(T_norm_cam).to(device)
    optimizer, schedule = _optimizer(network, training)
    name = network.conditioning.backbone_name
    saved = Checkpoint(checkpoint, f'{training} {seed} {name} {_digest(images, targets)}')
    parts = {'network': network, 'optimizer': optimizer, 'schedule': schedule}
    state, start = saved.load(), 0
    if state is not None:
        start = state['step']
        generator.set_state(state['generator'])
        for part, content in parts.items():
            content.load_state_dict(state[part])
    for step in range(start, training.iterations):
        backbone.requires_grad_(step >= training.head_iterations)
        batch = torch.randint(
            len(images), (min(training.images, len(images)),), generator=generator
        )
        jittered = jitter_colors(
            images[batch].permute(0, 2, 3, 1), training.color_jitter, generator
        ).permute(0, 3, 1, 2)
        predicted = network(jittered.to(device), generator)
        loss = network.loss(predicted, targets[batch.to(device)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        report('posenet', step + 1, training.iterations, {'loss': loss.item()})
        if (step + 1) % _CHECKPOINT_INTERVAL == 0 or step + 1 == training.iterations:
            states = {part: content.state_dict() for part, content in parts.items()}
            saved.save({'step': step + 1, 'generator': generator.get_state(), **states})
    return network.requires_grad_(False).eval()


def _optimizer(
    network: PoseNet, training: PoseNetTraining
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    backbone = list(network.conditioning.backbone.parameters())
    known = set(map(id, backbone))
    groups = [
        {'params': [p for p in network.parameters() if id(p) not in known]},
        {'params': backbone, 'lr': training.backbone_share * training.learning_rate},
    ]
    optimizer = torch.optim.Adam(groups, lr=training.learning_rate)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.iterations)


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class PoseNetProposer:
    """Proposes the one pose that the network regresses."""

    network: PoseNet

    def __call__(self, query: Query, run: Run) -> Pose:
        """See `Proposer`."""
        return poses_of(self.network(run.map.diffusion.network_input(query.rgb[None])))


def make_posenet(
    place: LocalizationMap,
    views: Views,
    work: Path | None,
    seed: int = 0,
    device: str = 'auto',
    report: Report = no_report,
) -> ProposalLocalizer:
    """PoseNet trained on the real views alone, then iNeRF as in preset 'paper'.

    Args:
        place: the map.
        views: its training views.
        work: folder for the checkpoint; a training of the same views and seed resumes there.
        seed: of the training and of each localization.
        device: where to compute.
        report: receives the progress of the training.
    """
    network = train_posenet(
        network_images(place, views),
        views.T_norm_cam,
        PoseNetTraining(),
        seed,
        pick_device(device),
        None if work is None else work / 'posenet.ckpt',
        report,
    )
    return ProposalLocalizer(place, PoseNetProposer(network), 'paper', device, seed)
