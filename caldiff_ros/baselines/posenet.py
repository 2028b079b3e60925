# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PoseNet + iNeRF (references 12 and 11 of the paper): the pose regressed, then refined."""

from __future__ import annotations

from dataclasses import dataclass

from caldiff_ros.baselines.posenet_training import PoseNet, PoseNetTraining, train_posenet
from caldiff_ros.baselines.proposals import ProposalLocalizer
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.baselines.training_views import network_images
from caldiff_ros.diffusion.vectors import poses_of
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run


@dataclass(frozen=True)
class PoseNetProposer:
    """Proposes the one pose that the network regresses."""

    network: PoseNet

    def __call__(self, query: Query, run: Run) -> Pose:
        """See `Proposer`."""
        return poses_of(self.network(run.map.diffusion.network_input(query.rgb[None])))


def make_posenet(setup: Setup) -> ProposalLocalizer:
    """PoseNet trained on the real views alone, then iNeRF as in preset 'paper'."""
    network = train_posenet(
        network_images(setup.localization_map, setup.views),
        setup.views.T_norm_cam,
        PoseNetTraining(),
        context=setup.context,
    )
    proposer = PoseNetProposer(network)
    return ProposalLocalizer(
        setup.localization_map, proposer, 'paper', device=setup.device, seed=setup.seed
    )
