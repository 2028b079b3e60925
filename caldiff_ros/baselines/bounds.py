# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bounds that see the truth: what a perfect retrieval, selection or start could give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from caldiff_ros.baselines.proposals import ProposalLocalizer
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.localization.presets import PRESETS, LocalizerConfig
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.stages import diffused_particles

#: Normalized units per degree in all four of the paper's thresholds.
_DISTANCE_PER_DEG = 0.005

#: The poses (P,) to refine, given the true pose (1,), the image and the run.
Informed = Callable[[Pose, Query, Run], Pose]


def pose_gap(poses: Pose, true: Pose) -> Tensor:
    """How far poses (P,) are from the true one, (1,): the threshold they reach, in degrees, (P,).

    The larger of the angle in degrees and of the distance divided by 0.005 normalized units. All
    thresholds of section 4.2 are (0.005 k, k degrees), k = 2, 5, 10, 20: a pose succeeds at k if
    and only if its gap is at most k. So no other choice succeeds where the least gap does not.
    """
    distance = poses.translation_error(true) / _DISTANCE_PER_DEG
    return distance.maximum(poses.rotation_error_deg(true))


@dataclass(frozen=True)
class Bound:
    """A localizer that is given the true pose: not a method, but a bound for methods.

    Attributes:
        localization_map: the map.
        propose: the poses to refine, given the truth.
        config: selection and refinement.
        device: as in `ProposalLocalizer`.
        seed: of each localization.
    """

    localization_map: LocalizationMap
    propose: Informed
    config: LocalizerConfig
    device: str = 'auto'
    seed: int = 0

    def for_truth(self, T_map_cam: np.ndarray) -> ProposalLocalizer:
        """The localizer for an image whose true pose is ``T_map_cam``, (4, 4)."""

        def propose(query: Query, run: Run) -> Pose:
            return self.propose(run.map.to_norm(T_map_cam[None]), query, run)

        return ProposalLocalizer(
            self.localization_map, propose, self.config, device=self.device, seed=self.seed
        )


def make_nearest_training_view(setup: Setup) -> Bound:
    """The pose of the training view nearest to the truth by `pose_gap`, as it is.

    What a perfect image retrieval without refinement could give.
    """

    def propose(true: Pose, query: Query, run: Run) -> Pose:
        cameras = setup.views.T_norm_cam.to(query.device)
        return cameras[pose_gap(cameras, true).argmin()[None]]

    unrefined = replace(PRESETS['fast'], refinement=None, matching=None)
    return Bound(setup.localization_map, propose, unrefined, device=setup.device, seed=setup.seed)


def make_oracle_selection(setup: Setup) -> Bound:
    """The particles of preset 'fast', of which those nearest to the truth are refined.

    What the diffusion could give if the selection by photometric error made no mistake: with the
    same seed the particles are those of `Localizer`, and as many of them are refined. Copies are
    kept, and the best of the refined is chosen by photometric error as always.
    """
    config = PRESETS['fast']

    def propose(true: Pose, query: Query, run: Run) -> Pose:
        poses = diffused_particles(config.particles, query, config, run)
        return poses[pose_gap(poses, true).argsort(stable=True)[: config.selection.count]]

    return Bound(setup.localization_map, propose, config, device=setup.device, seed=setup.seed)


def make_floor(setup: Setup) -> Bound:
    """The truth, refined as in preset 'fast': what is left is due to map, pose data and refinement.

    Its error is not zero where the field, or the pose of the dataset, is not exact.
    """

    def propose(true: Pose, query: Query, run: Run) -> Pose:
        return true

    return Bound(
        setup.localization_map, propose, PRESETS['fast'], device=setup.device, seed=setup.seed
    )
