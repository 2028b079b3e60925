# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measuring what right and wrong answers look like, on images that the field was not trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.diffusion.training import poses_of
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.confidence import Calibration, Evidence
from caldiff_ros.localization.covariance import curvature_covariance
from caldiff_ros.localization.gauss_newton import GaussNewtonConfig, align
from caldiff_ros.localization.image_quality import ImageQuality
from caldiff_ros.localization.presets import LocalizerConfig
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.sampling import RenderedViewsConfig, poses_around, uniform_particles
from caldiff_ros.localization.selection import select
from caldiff_ros.nerf.field import BACKGROUND_COLORS, RadianceField, render_images
from caldiff_ros.nerf.views import Views
from caldiff_ros.training import Report, no_report

#: A pose farther than this from the truth (normalized units, or degrees) is wrong, and must not be
#: trusted.
RIGHT = (0.05, 10.0)
#: Starts about the truth, from which the right pose is refined, and their standard deviations. One
#: start may end in a minimum beside the right one, where a localization has others as well.
_STARTS = 4
_START = torch.tensor([0.01] * 3 + [0.02] * 3)
#: Random poses from which the most deceptive ones are refined, and how many of these.
_RANDOM_POSES, _REFINED = 80, 5
#: They are chosen on a coarse image, as the localizer does.
_CHOICE = replace(LocalizerConfig().selection, count=_REFINED, screening_side=None)
#: Tiles along each edge of an image that is scrambled.
_TILES = 4
#: A squared error of more than so many times the median belongs to another minimum; the theory has
#: 1 of 10^9 there, and a mean must not hang on a single alignment.
_MOST_SQUARED_ERROR = 10.0


@dataclass(frozen=True)
class CalibrationConfig:
    """How right and wrong answers are measured."""

    views: int = 16
    """Training images, at most, that are held out of a second, quickly trained field."""
    share: float = 0.2
    """At most this share of the training images."""
    training: float = 0.25
    """Most steps of that field's training, as a share of those of the map's field."""

    def held_out(self, n: int, seed: int) -> Tensor:
        """Which of ``n`` training images are held out, bool (n,)."""
        count = max(1, min(self.views, round(self.share * n)))
        chosen = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:count]
        return torch.zeros(n, dtype=torch.bool).index_fill(0, chosen, True)


def calibrate(
    field: RadianceField,
    held_out: Views,
    quality: ImageQuality,
    seed: int = 0,
    report: Report = no_report,
) -> Calibration:
    """Calibrate on views whose poses are known.

    Right evidence comes from poses refined near the truth, wrong evidence from the most deceptive
    of random poses, refined where they are, and from scrambled images, which belong nowhere.

    Args:
        field: a field that was not trained on the views.
        held_out: the views.
        quality: the worst of the map's images.
        seed: of everything random.
        report: receives the progress of 'calibration'.

    Raises:
        CaldiffError: if no right pose could be found.
    """
    generator = torch.Generator().manual_seed(seed)
    true = held_out.T_norm_cam.to(field.aabb.device)
    right, wrong, squared_errors = [], [], []
    for i, query in enumerate(queries_of(held_out, field)):
        truth = true[i : i + 1]
        noise = _START * torch.randn(_STARTS, 6, generator=generator)
        starts = truth[[0] * _STARTS].retract(noise.to(truth.t))
        found = align(field, query, starts, GaussNewtonConfig()).T_norm_cam[:1]
        if not is_wrong(found, truth[0])[0]:
            rendering = render_images(field, found, query.camera)
            right.append(Evidence.of(rendering, query))
            covariance = curvature_covariance(rendering, query, found)
            squared_errors.append(squared_error(found[0], truth[0], covariance))
        particles = poses_of(uniform_particles(_RANDOM_POSES, generator)).to(true.t.device)
        deceived = refine_wrong(field, query, particles[is_wrong(particles, truth[0])])
        still_wrong = is_wrong(deceived, truth[0])
        if bool(still_wrong.any()):
            rendering = render_images(field, deceived[still_wrong], query.camera)
            wrong.append(Evidence.of(rendering, query))
        around = poses_around(held_out.T_norm_cam, _RANDOM_POSES, RenderedViewsConfig(), generator)
        nowhere = replace(query, image=scrambled(query.image, generator))
        deceived = refine_wrong(field, nowhere, around.to(true.t.device))
        wrong.append(Evidence.of(render_images(field, deceived, query.camera), nowhere))
        report('calibration', i + 1, len(held_out), {})
    if not right:
        raise CaldiffError(
            f'none of {len(held_out)} held-out images could be aligned with the field, so nothing '
            'says what a right answer looks like; check the poses, or give more and sharper images'
        )
    scale = covariance_scale(np.array(squared_errors))
    return Calibration.fit(Evidence.cat(right), Evidence.cat(wrong), scale, quality)


def covariance_scale(squared_errors: np.ndarray) -> float:
    """How many times covariances are too small, from the normalized squared errors (N,) of poses.

    Their mean over its expectation, the 6 degrees of freedom, without those that ended beside the
    right minimum, which no covariance at the minimum explains.
    """
    explained = squared_errors <= _MOST_SQUARED_ERROR * np.median(squared_errors)
    return float(squared_errors[explained].mean()) / 6


def queries_of(views: Views, field: RadianceField) -> list[Query]:
    """The views as images to localize."""
    images = (views.on_background(BACKGROUND_COLORS[field.background]) * 255).round()
    device, config = field.aabb.device, LocalizerConfig()
    return [
        Query(image, seen, views.camera, device, config.affine_exposure, config.robust_scale)
        for image, seen in zip(images.to(torch.uint8).numpy(), views.seen.numpy(), strict=True)
    ]


def is_wrong(poses: Pose, truth: Pose) -> Tensor:
    """Which of poses (P,) are too far from the truth, bool (P,)."""
    distance, angle_deg = RIGHT
    too_far = poses.translation_error(truth) > distance
    return too_far | (poses.rotation_error_deg(truth) > angle_deg)


def refine_wrong(field: RadianceField, query: Query, poses: Pose) -> Pose:
    """The most deceptive of poses (P,), refined by alignment alone, at most five."""
    errors = query.level(_CHOICE.longer_side).photometric_error(field, poses)
    chosen = poses[select(poses, errors, _CHOICE)]
    config = GaussNewtonConfig()
    everyone = config.keeping(*[len(chosen)] * len(config.levels))
    return align(field, query, chosen, everyone).T_norm_cam


def scrambled(image: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """An image (H, W, 3) whose tiles have changed places: the same colours, of no place at all."""
    height, width = (size - size % _TILES for size in image.shape[:2])
    h, w = height // _TILES, width // _TILES
    tiles = image[:height, :width].reshape(_TILES, h, _TILES, w, 3).swapaxes(1, 2).copy()
    order = torch.randperm(_TILES**2, generator=generator).numpy()
    tiles = tiles.reshape(-1, h, w, 3)[order].reshape(_TILES, _TILES, h, w, 3)
    result = image.copy()
    result[:height, :width] = tiles.swapaxes(1, 2).reshape(height, width, 3)
    return result


def squared_error(found: Pose, truth: Pose, covariance: Tensor) -> float:
    """Normalized estimation error squared of a pose, batch shape (); 6 on average is right.

    ``covariance`` (6, 6) is in the parameters of `Pose.retract`.
    """
    found, truth = (pose.to('cpu', torch.float64) for pose in (found, truth))
    delta = found.offset_to(truth)
    return float(delta @ torch.linalg.solve(covariance, delta))
