# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compiling what a localization needs before the first image comes."""

from __future__ import annotations

import functools
import logging
import time

import numpy as np
import torch

from caldiff_ros.compiling import is_kept
from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.alignment import AlignmentConfig, align
from caldiff_ros.localization.comparison_kernels import linearize
from caldiff_ros.localization.features import Features, match
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField

logger = logging.getLogger(__name__)


@functools.cache
def warm_up(device: torch.device) -> None:
    """Compile a device's kernels, or load what an earlier process has compiled; once in a process.

    Args:
        device: where images are going to be localized.
    """
    compiles = not is_kept(linearize)
    if compiles:
        logger.info('compiling kernels for this processor, once and for all')

    began = time.perf_counter()
    camera = Camera(16, 16, 16.0, 16.0, 8.0, 8.0)
    config = GaussianConfig(count=1, sh_degree=0, near=0.1, focal_px=0.0)
    field = GaussianField(config, torch.zeros(2, 3), 'black').requires_grad_(False).eval()
    field = field.to(device)
    query = Query(
        image=np.zeros((16, 16, 3), np.uint8),
        seen=np.ones((16, 16), bool),
        camera=camera,
        device=device,
        affine_exposure=True,
        robust_scale=0.3,
    )
    pose = Pose.identity(1, device=device)
    query.photometric_error(field, pose)
    align(field, query, pose, AlignmentConfig())

    # the gradient to a pose, which iNeRF descends along
    shift = torch.zeros(1, 3, device=device, requires_grad=True)
    pixels = torch.arange(4, device=device)
    field.render_pixels(Pose(pose.R, pose.t + shift), camera, pixels).rgb.sum().backward()

    few = Features(np.zeros((2, 2)), np.zeros((2, 128), np.float32))
    match(few, few, ratio=1.0)
    match(few, few, ratio=1.0, window_px=1.0)
    if compiles:
        logger.info('compiled in %.0f s', time.perf_counter() - began)
