# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PoseNet + iNeRF (references 12 and 11 of the paper): the pose regressed, then refined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from caldiff_ros.baselines.posenet_training import PoseNet, PoseNetTraining, train_posenet
from caldiff_ros.baselines.proposals import ProposalLocalizer
from caldiff_ros.baselines.training_views import network_images
from caldiff_ros.diffusion.training import poses_of
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run
from caldiff_ros.nerf.views import Views
from caldiff_ros.training import Report, no_report, pick_device


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
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
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
