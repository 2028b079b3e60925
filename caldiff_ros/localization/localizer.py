# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CaLDiff: where is this camera, in this radiance field? Algorithm 1 of the paper."""

from __future__ import annotations

import numpy as np
import torch

from caldiff_ros.devices import pick_device, turn_on
from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization import stages
from caldiff_ros.localization.answer import Answer, CancelToken, Observer
from caldiff_ros.localization.conclusion import conclude
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.localization.masks import checked_mask
from caldiff_ros.localization.presets import LocalizerConfig, configuration
from caldiff_ros.localization.prior import Prior
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.warm_up import warm_up


class Localizer:
    """Localizes images in a map, without any prior.

    Args:
        localization_map: the map; it is moved to the device.
        preset: name of a preset, see `PRESETS`, or a configuration of your own.
        device: 'auto' takes the GPU if there is one.
        seed: each localization starts from it: same seed, same machine, same answer.
        mask: pixels of every image that show the place and not the robot, bool (H, W) at any
            resolution of the images' aspect; None takes the map's.

    Raises:
        CaldiffError: if there is no such preset, or the mask is none.
    """

    def __init__(
        self,
        localization_map: LocalizationMap,
        preset: str | LocalizerConfig = 'fast',
        device: str = 'auto',
        seed: int = 0,
        mask: np.ndarray | None = None,
    ) -> None:
        self.config = configuration(preset)
        self.device = pick_device(device)
        self.seed = seed
        self.mask = mask if mask is None else checked_mask(mask, 'of the localizer')
        self.map = localization_map.to(self.device)
        warm_up(self.device)

    def localize(
        self,
        image: np.ndarray,
        camera: Camera,
        observer: Observer | None = None,
        cancel: CancelToken | None = None,
        prior: Prior | None = None,
    ) -> Answer:
        """Find the pose of the camera that took an image.

        Args:
            image: uint8 RGB (H, W, 3).
            camera: its intrinsics and distortion.
            observer: receives the particles after every step, in this thread.
            cancel: lets another thread stop the run.
            prior: guess that a share of the particles starts from.

        Raises:
            CaldiffError: if the image cannot be used: not one of its camera, black, blurred.
            Cancelled: if ``cancel`` was used.
        """
        run = Run(self.map, torch.Generator().manual_seed(self.seed), observer, cancel, self.mask)
        with turn_on(self.device):
            return self._localize(image, camera, prior, run)

    def _localize(self, image: np.ndarray, camera: Camera, prior: Prior | None, run: Run) -> Answer:
        """See `localize`."""
        config = self.config
        with run.stage('preparation'):
            query = stages.prepare(image, camera, config, run)

        with run.stage('diffusion'):
            # 1. Initialize poses P_N.  2. Extract feature f.  3. Diffuse P_N to P_0.
            n_guessed = round(config.prior_share * config.particles) if prior else 0
            poses = stages.diffused_particles(config.particles - n_guessed, query, config, run)
            if prior is not None:
                poses = Pose.cat([poses, prior.sample(n_guessed, self.map, run.generator)])

        with run.stage('selection'):
            # 4. Select the good-to-refine subset P_s of P_0.
            subset = stages.choose(poses, query, config, run)

        with run.stage('refinement'):
            # 5. Refine P_s and select the best.  6. Return it.
            refined = stages.refine(subset, query, config, run)
            refined = stages.refine_in_spite(refined, poses, query, config, run)

        return conclude(refined, query, config, run)
