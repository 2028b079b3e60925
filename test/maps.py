# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small map of nothing, for what is done with maps as such."""

from __future__ import annotations

import math

import torch
from blobs import CAMERA, ring

from caldiff_ros.diffusion.conditioning import ConditioningConfig
from caldiff_ros.diffusion.denoiser import DenoiserConfig
from caldiff_ros.diffusion.model import DiffusionConfig, PoseDiffusion
from caldiff_ros.geometry import Normalization
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.confidence import Calibration, Logistic
from caldiff_ros.localization.image_quality import ImageQuality
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField

BOX = torch.tensor([[-0.25] * 3, [0.25] * 3])
DIFFUSION = DiffusionConfig(
    ConditioningConfig(backbone='efficientnet_lite0', grid=1, width=16, image_size=48),
    DenoiserConfig(1, 32),
)
#: Differences above 0.005 are beyond trust, whatever the similarity.
CALIBRATION = Calibration(
    difference=Logistic(2 * math.log(0.005), 2.0),
    similarity=Logistic(20.0, 0.0),
    covariance_scale=3.0,
    matching_scale=20.0,
    right_difference=(0.0005, 0.001, 0.002),
    wrong_difference=(0.01, 0.02, 0.05),
    right_similarity=(0.8, 0.9, 0.95),
    wrong_similarity=(-0.1, 0.1, 0.2),
    n_right=16,
    n_wrong=160,
    image=ImageQuality(contrast=40.0, sharpness=0.5, black=0.1, white=0.2),
)


def make_map(field=None, **changes) -> LocalizationMap:
    if field is None:
        config = GaussianConfig(count=300, sh_degree=1, near=0.01, focal_px=CAMERA.fx)
        field = GaussianField(config, BOX, 'white')
        with torch.no_grad():
            # all over the place, so that no two poses see the same nothing
            field.means.uniform_(-0.8, 0.8)
            field.log_scales.uniform_(-3.5, -2.0)
            field.quaternions.normal_()
            field.harmonics.normal_(std=0.5)
    return LocalizationMap(
        name='test',
        camera=CAMERA,
        normalization=Normalization((1.0, -2.0, 3.0), 2.5),
        background='white',
        field=field.requires_grad_(False).eval(),
        diffusion=PoseDiffusion.make(DIFFUSION).requires_grad_(False).eval(),
        calibration=CALIBRATION,
        training_cameras=ring(6),
        provenance={'seed': 7},
        **changes,
    )
