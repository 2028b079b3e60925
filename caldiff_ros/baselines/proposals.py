# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CaLDiff with its first three steps replaced: poses proposed by something else are refined."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from caldiff_ros.devices import pick_device
from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.answer import Answer
from caldiff_ros.localization.conclusion import conclude
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.localization.presets import LocalizerConfig, configuration
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.stages import choose, prepare, refine


class Proposer(Protocol):
    """Where the poses to refine come from."""

    def __call__(self, query: Query, run: Run) -> Pose:
        """Poses T_norm_cam (P,), P >= 1, for an image.

        Args:
            query: the image as the map's camera would have seen it, on the map's device.
            run: its map, field (which counts what is rendered) and random generator.
        """


class ProposalLocalizer:
    """Selects among proposed poses and refines them, with the interface of `Localizer`.

    Args:
        localization_map: the map; it is moved to the device.
        propose: where the poses come from.
        preset: whose selection and refinement to use; the selection is left out where no more
            poses are proposed than it would keep.
        device: 'auto' takes the GPU if there is one.
        seed: each localization starts from it.
    """

    def __init__(
        self,
        localization_map: LocalizationMap,
        propose: Proposer,
        preset: str | LocalizerConfig = 'fast',
        device: str = 'auto',
        seed: int = 0,
    ) -> None:
        self.config = configuration(preset)
        self.device = pick_device(device)
        self.seed = seed
        self.map = localization_map.to(self.device)
        self.propose = propose

    def localize(self, image: np.ndarray, camera: Camera) -> Answer:
        """Find the pose of the camera that took an image, see `Localizer.localize`."""
        run = Run(self.map, torch.Generator().manual_seed(self.seed))
        with run.stage('preparation'):
            query = prepare(image, camera, self.config, run)

        with run.stage('proposal'):
            poses = self.propose(query, run)

        with run.stage('selection'):
            if len(poses) > self.config.selection.count:
                poses = choose(poses, query, self.config, run)

        with run.stage('refinement'):
            refined = refine(poses, query, self.config, run)

        return conclude(refined, query, self.config, run)
