# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measuring what right and wrong answers look like, on images that the field was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.diffusion.vectors import poses_of
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.alignment import CALIBRATION_ALIGNMENT, align
from caldiff_ros.localization.confidence import (
    FEWEST_RIGHT,
    Calibration,
    Evidence,
)
from caldiff_ros.localization.correctness import is_wrong
from caldiff_ros.localization.covariance import curvature_covariance
from caldiff_ros.localization.image_quality import ImageQuality
from caldiff_ros.localization.landmarks import Landmarks
from caldiff_ros.localization.particles import uniform_particles
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.selection import SelectionConfig, select
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.covariance_scales import Estimates, matched_near, scales_of
from caldiff_ros.mapping.disturbances import motion_blurred, occlude
from caldiff_ros.mapping.rendered_views import RenderedViewsConfig, poses_around
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.field import BACKGROUND_COLORS, RadianceField

#: Starts about the truth, from which the right pose is refined, and their standard deviations. One
#: start may end in a minimum beside the right one, where a localization has others as well.
_STARTS = 4
_START = torch.tensor([0.01] * 3 + [0.02] * 3)
#: Random poses from which the most deceptive ones are refined, and how many of these.
_RANDOM_POSES, _REFINED = 80, 5
#: How poses are compared and chosen. Like `CALIBRATION_ALIGNMENT` it does not follow the presets.
_AFFINE_EXPOSURE = True
_ROBUST_SCALE = 0.3
_CHOICE_SIDE = 25
_CHOICE = SelectionConfig(
    count=_REFINED, longer_side=_CHOICE_SIDE, min_distance=0.06, min_angle_deg=8.0
)
#: Shares of an image that something hides, once each, and motion as a share of the longer side.
_HIDDEN_SHARES = (0.1, 0.2, 0.3)
_MOTION = 0.02
#: Tiles along each edge of an image that is scrambled.
_TILES = 4


@dataclass(frozen=True)
class CalibrationConfig:
    """How right and wrong answers are measured."""

    views: int = 16
    """Maximum number of training images held out of a second, quickly trained field."""
    share: float = 0.2
    """At most this share of the training images, but three of them where there are six."""
    training: float = 0.5
    """Maximum training steps of that field, as a fraction of those of the map's field."""
    stop: bool = True
    """Stop the build if the held-out images cannot be aligned; otherwise such a map is written
    uncalibrated, and nothing is ever LOCALIZED with it."""

    def held_out(self, n: int, seed: int) -> Tensor:
        """Which of ``n`` training images are held out, bool (n,)."""
        fewest = min(FEWEST_RIGHT, n // 2)
        return _drawn(n, max(fewest, min(self.views, round(self.share * n))), seed)

    def chosen(self, n: int, seed: int) -> Tensor:
        """Which of ``n`` images judge a field that was there before, bool (n,)."""
        return _drawn(n, min(self.views, n), seed)


def _drawn(n: int, count: int, seed: int) -> Tensor:
    """Some of ``n``, bool (n,)."""
    chosen = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:count]
    return torch.zeros(n, dtype=torch.bool).index_fill(0, chosen, True)


def calibrate(
    field: RadianceField,
    held_out: Views,
    quality: ImageQuality,
    context: BuildContext,
    landmarks: Landmarks | None = None,
    detailed: Sequence[np.ndarray | None] | None = None,
) -> Calibration:
    """Calibrate on views whose poses are known.

    Right evidence comes from poses refined near the truth, with the image as it is, with things in
    front of the scene, and blurred by motion; wrong evidence from the most deceptive of random
    poses, refined where they are, and from scrambled images, which belong nowhere.

    Args:
        field: a field that was not trained on the views.
        held_out: the views.
        quality: the worst of the map's images.
        context: seed, and receives the progress of 'calibration'.
        landmarks: of other views, if the map is going to have exact ones.
        detailed: the views with more pixels, see `Query.detailed`.
    """
    generator = context.generator()
    true = held_out.T_norm_cam.to(field.aabb.device)
    right: list[Evidence] = []
    disturbed: list[Evidence] = []
    wrong: list[Evidence] = []
    estimates: list[Estimates] = []

    queries = queries_of(held_out, field)
    if detailed is not None:
        pairs = zip(queries, detailed, strict=True)
        queries = [replace(query, detailed=image) for query, image in pairs]

    for i, query in enumerate(queries):
        # 1. Right: refined from near the truth
        truth = true[i : i + 1]
        noise = _START * torch.randn(_STARTS, 6, generator=generator)
        starts = truth[[0] * _STARTS].retract(noise.to(truth.t))
        found = align(field, query, starts, CALIBRATION_ALIGNMENT).T_norm_cam[:1]

        if not is_wrong(found, truth[0])[0]:
            rendering = field.render(found, query.camera)
            right.append(Evidence.of(rendering, query))
            disturbed += [Evidence.of(rendering, q) for q in _disturbed(query, generator)]
            aligned = found, curvature_covariance(rendering, query, found)
            matched = matched_near(field, query, starts[:1], truth=truth, landmarks=landmarks)
            estimates.append(Estimates(truth, aligned, *matched))

        # 2. Wrong: the most deceptive of random poses
        particles = poses_of(uniform_particles(_RANDOM_POSES, generator)).to(true.t.device)
        deceived = refine_wrong(field, query, particles[is_wrong(particles, truth[0])])
        still_wrong = is_wrong(deceived, truth[0])

        if bool(still_wrong.any()):
            rendering = field.render(deceived[still_wrong], query.camera)
            wrong.append(Evidence.of(rendering, query))

        # 3. Wrong: an image of no place
        around = poses_around(held_out.T_norm_cam, _RANDOM_POSES, RenderedViewsConfig(), generator)
        nowhere = replace(query, image=scrambled(query.image, generator))
        deceived = refine_wrong(field, nowhere, around.to(true.t.device))
        wrong.append(Evidence.of(field.render(deceived, query.camera), nowhere))
        context.progress('calibration', i + 1, len(held_out))

    scales = scales_of(estimates)
    all_wrong = Evidence.cat(wrong)
    all_right, all_disturbed = (
        Evidence.cat(each) if each else all_wrong[:0] for each in (right, disturbed)
    )
    return Calibration.fit(all_right, all_wrong, scales, quality, all_disturbed)


def _disturbed(query: Query, generator: torch.Generator) -> list[Query]:
    """The image with things in front of the scene, and blurred by motion."""
    random = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    images = [occlude(query.image, share, random) for share in _HIDDEN_SHARES]
    length_px = _MOTION * max(query.camera.width, query.camera.height)
    images.append(motion_blurred(query.image, length_px, random.uniform(0, np.pi)))
    return [replace(query, image=image) for image in images]


def check_agreement(calibration: Calibration, held_out: int, psnr_db: float) -> None:
    """Refuse to build a map of images that do not explain each other.

    Args:
        calibration: on the held-out images.
        held_out: how many there are.
        psnr_db: how well a field of the others explains them.

    Raises:
        CaldiffError: if the calibration says nothing though there are images enough.
    """
    if calibration.problem and held_out >= FEWEST_RIGHT:
        raise CaldiffError(
            'the images are not consistent: with a field trained on the others, '
            f'{calibration.problem} ({held_out} held-out images, PSNR {psnr_db:.1f} dB); run '
            'caldiff check on poses and intrinsics, add more and sharper images, or build anyway '
            'with --force'
        )


def queries_of(views: Views, field: RadianceField) -> list[Query]:
    """The views as images to localize."""
    images = (views.on_background(BACKGROUND_COLORS[field.background]) * 255).round()
    return [
        Query(
            image=image,
            seen=seen,
            camera=views.camera,
            device=field.aabb.device,
            affine_exposure=_AFFINE_EXPOSURE,
            robust_scale=_ROBUST_SCALE,
        )
        for image, seen in zip(images.to(torch.uint8).numpy(), views.seen.numpy(), strict=True)
    ]


def refine_wrong(field: RadianceField, query: Query, poses: Pose) -> Pose:
    """The most deceptive of poses (P,), refined by alignment alone, at most five."""
    errors = query.level(_CHOICE_SIDE).photometric_error(field, poses)
    chosen = poses[select(poses, errors, _CHOICE)]
    everyone = CALIBRATION_ALIGNMENT.keeping(*[len(chosen)] * len(CALIBRATION_ALIGNMENT.survivors))
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
