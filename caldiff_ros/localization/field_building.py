# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The field of a map: trained here, brought from nerfstudio, or baked."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.sampling import RenderedViewsConfig, poses_around
from caldiff_ros.localization.training_data import TrainingData
from caldiff_ros.nerf.baking import bake
from caldiff_ros.nerf.field import RadianceField
from caldiff_ros.nerf.nerfacto import NerfactoField
from caldiff_ros.nerf.nerfacto_training import NerfactoTraining, train_nerfacto
from caldiff_ros.nerf.nerfstudio_run import NerfstudioRun
from caldiff_ros.nerf.training import FactorizedTraining, FieldTraining, psnr, train_field
from caldiff_ros.training import Report, no_report, weights_digest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BakingConfig:
    """How another field is baked into the factorized field, which needs only torch."""

    extra_views: int = 60
    """Views rendered around the training cameras, besides those at the training cameras."""
    training: FactorizedTraining = field(
        default_factory=lambda: FactorizedTraining(exact_depth=True)
    )
    """The factorized field and its training."""


@dataclass(frozen=True)
class FieldSource:
    """Where the field of a map comes from.

    Attributes:
        training: how to train one, unless there is a run.
        run: an ns-train run to take.
        baking: how to bake it; None keeps the field as it is.
    """

    training: FieldTraining | NerfactoTraining
    run: NerfstudioRun | None = None
    baking: BakingConfig | None = None


@dataclass(frozen=True)
class BuiltField:
    """A field and what is to be remembered of its making."""

    field: RadianceField
    origin: dict[str, Any]


def build_field(
    data: TrainingData,
    source: FieldSource,
    seed: int = 0,
    device: torch.device | str = 'cpu',
    work: Path | None = None,
    report: Report = no_report,
) -> BuiltField:
    """Train, adopt or bake the field of a map.

    Args:
        data: training images and cameras.
        source: what to do.
        seed: of everything random.
        device: where to compute.
        work: folder for checkpoints; a build of the same data and source resumes there.
        report: receives the progress.

    Raises:
        CaldiffError: if nerfstudio is needed and missing, or the run cannot be used.
    """
    if source.run is None and not isinstance(source.training, NerfactoTraining):
        checkpoint = None if work is None else work / 'field.ckpt'
        trained = train_field(
            data.views, data.held_out, data.aabb, data.background, source.training, seed, device,
            checkpoint, report,
        )  # fmt: skip
        return BuiltField(trained, {})
    nerfacto, origin = _nerfacto(data, source, seed, device, work, report)
    if source.baking is None:
        return BuiltField(nerfacto, origin)
    return _baked(data, nerfacto, source.baking, origin, seed, device, work, report)


def _nerfacto(
    data: TrainingData,
    source: FieldSource,
    seed: int,
    device: torch.device | str,
    work: Path | None,
    report: Report,
) -> tuple[NerfactoField, dict[str, Any]]:
    if source.run is not None:
        adopted = NerfactoField.from_run(source.run, data.normalization, data.background)
        return adopted.to(device), {'nerfstudio_run': source.run.config_path.parent.name}
    run = train_nerfacto(
        data.views, data.background, source.training, work / 'nerfacto', seed, device, report
    )
    return NerfactoField.from_run(run, None, data.background).to(device), {}


def _baked(
    data: TrainingData,
    nerfacto: NerfactoField,
    config: BakingConfig,
    origin: dict[str, Any],
    seed: int,
    device: torch.device | str,
    work: Path | None,
    report: Report,
) -> BuiltField:
    """The baked field, and how much worse it shows images that neither was trained on."""
    cameras = data.views.T_norm_cam
    generator = torch.Generator().manual_seed(seed)
    around = poses_around(cameras, config.extra_views, RenderedViewsConfig(), generator)
    poses = Pose.cat([cameras, around])
    if work is not None:  # renders of another nerfacto are of no use
        work = work / f'baking-{weights_digest(nerfacto)[:12]}'
        work.mkdir(exist_ok=True)
    baked = bake(
        nerfacto, poses, data.camera, data.aabb, config.training, data.background, seed, device,
        work, report,
    )  # fmt: skip
    kind, views = ('held-out', data.held_out) if data.held_out else ('training', data.views)
    before, after = psnr(nerfacto, views, 4), psnr(baked, views, 4)
    logger.info(
        'baking costs %.1f dB: on %d %s images nerfacto has %.1f dB and the baked field %.1f dB',
        before - after, min(4, len(views)), kind, before, after,
    )  # fmt: skip
    return BuiltField(baked, {**origin, 'baked_from': 'nerfacto', 'nerfacto_psnr_db': before})
