# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From posed images to a map: field, rendered views, diffusion model, calibration."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, replace
from dataclasses import field as dataclass_field
from datetime import datetime, timezone
from pathlib import Path

import torch

import caldiff_ros
from caldiff_ros.diffusion.conditioning import ConditioningConfig
from caldiff_ros.diffusion.model import DiffusionConfig, PoseDiffusion
from caldiff_ros.diffusion.schedule import ScheduleConfig
from caldiff_ros.diffusion.training import DiffusionTraining, train_diffusion
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.calibrating import CalibrationConfig, calibrate, queries_of
from caldiff_ros.localization.confidence import Calibration
from caldiff_ros.localization.field_building import (
    BakingConfig,
    BuiltField,
    FieldSource,
    build_field,
)
from caldiff_ros.localization.image_quality import ImageQuality
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.localization.sampling import RenderedViewsConfig, render_views
from caldiff_ros.localization.training_data import Background, TrainingData
from caldiff_ros.nerf.field import BACKGROUND_COLORS, RadianceField
from caldiff_ros.nerf.nerfacto_training import NerfactoTraining
from caldiff_ros.nerf.training import FactorizedTraining, FieldTraining, psnr, train_field
from caldiff_ros.training import Report, TimedReport, no_report


@dataclass(frozen=True)
class BuildConfig:
    """Everything that `build_map` does."""

    field: FieldTraining | NerfactoTraining = dataclass_field(default_factory=FactorizedTraining)
    """The radiance field and its training."""
    baking: BakingConfig = dataclass_field(default_factory=BakingConfig)
    """How a nerfacto field is baked into a factorized one."""
    views: RenderedViewsConfig = dataclass_field(default_factory=RenderedViewsConfig)
    """Views rendered from the field, on which the diffusion model is trained with the real ones."""
    diffusion: DiffusionTraining = dataclass_field(default_factory=DiffusionTraining)
    """The pose diffusion model and its training."""
    calibration: CalibrationConfig = dataclass_field(default_factory=CalibrationConfig)
    """How right and wrong answers are measured, which tells what later ones are worth."""
    background: Background = 'auto'
    """Colour behind images with alpha; auto is white for them and none for photographs."""


#: Ways to train the diffusion model. 'paper': section 4.2, on the real images, whole network, one
#: image and pose per iteration, 20 epochs of 5000; hours on a CPU. The field is chosen separately.
BUILD_PRESETS: dict[str, BuildConfig] = {
    'fast': BuildConfig(),
    'paper': BuildConfig(
        views=RenderedViewsConfig(count=0),
        diffusion=DiffusionTraining(
            model=DiffusionConfig(
                conditioning=ConditioningConfig(grid=1),
                schedule=ScheduleConfig(50, 0.0001, 0.02, zero_terminal_snr=False),
                prediction='epsilon',
            ),
            iterations=100_000,
            images=1,
            poses_per_image=1,
            learning_rate=0.0002,
            convergence=None,
            balance=2.0,
            snr_weights=None,
            train_backbone=True,
            feature_dropout=0.0,
            color_jitter=0.0,
            blur=0.0,
            occlusion=0.0,
            mixed_precision=False,
        ),
    ),
}


def build_diffusion(
    data: TrainingData,
    field: RadianceField,
    config: BuildConfig,
    seed: int = 0,
    device: torch.device | str = 'cpu',
    weights: Path | None = None,
    work: Path | None = None,
    report: Report = no_report,
) -> PoseDiffusion:
    """Train the diffusion model on the real views and on views rendered around them."""
    longer = max(data.camera.width, data.camera.height)
    small = data.camera.downscaled(longer / config.diffusion.model.conditioning.image_size)
    color = BACKGROUND_COLORS[data.background]
    real = data.views.on_background(color).permute(0, 3, 1, 2)
    real = torch.nn.functional.interpolate(
        real, (small.height, small.width), mode='bilinear', antialias=True
    )
    images = (real.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    poses = data.views.T_norm_cam
    if config.views.count > 0:
        drawn = None if work is None else work / 'views.ckpt'
        rendered, around = render_views(
            field, poses.to(device), small, config.views, seed, drawn, report
        )
        images, poses = torch.cat([images, rendered]), Pose.cat([poses, around])
    checkpoint = None if work is None else work / 'diffusion.ckpt'
    return train_diffusion(
        images, poses, config.diffusion, seed, device, weights, checkpoint, report
    )


def calibrated(
    data: TrainingData,
    config: BuildConfig,
    seed: int = 0,
    device: torch.device | str = 'cpu',
    work: Path | None = None,
    report: Report = no_report,
) -> Calibration:
    """Right and wrong answers on training images that a second field does not know.

    The map's own field knows all of them, and the test images are left alone. The second field is
    the factorized one, whatever the map's, as it is trained in a minute or two.
    """
    held_out = config.calibration.held_out(len(data.views), seed)
    training = (
        config.field if isinstance(config.field, FactorizedTraining) else FactorizedTraining()
    )
    shorter = max(1, round(config.calibration.training * training.iterations))
    field = train_field(
        data.views.subset(~held_out),
        None,
        data.aabb,
        data.background,
        replace(training, iterations=shorter),
        seed,
        device,
        None if work is None else work / 'calibration-field.ckpt',
        lambda _, *progress: report('calibration field', *progress),
    )
    views = data.views.subset(held_out)
    quality = ImageQuality.worst(
        [ImageQuality.of(query.image, query.seen) for query in queries_of(data.views, field)]
    )
    return calibrate(field, views, quality, seed, report)


def assemble(
    data: TrainingData,
    built: BuiltField,
    diffusion: PoseDiffusion,
    calibration: Calibration,
    config: BuildConfig,
    seed: int = 0,
) -> LocalizationMap:
    """Put everything together."""
    field = built.field
    quality = None if data.held_out is None else psnr(field, data.held_out)
    provenance = {
        'made_by': f'caldiff_ros {caldiff_ros.__version__}',
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'training_images': len(data.views),
        'held_out_psnr_db': quality,
        'seed': seed,
        'torch': torch.__version__.split('+')[0],
        'machine': f'{platform.machine()}, {torch.get_num_threads()} threads, {field.aabb.device}',
        # JSON and back: YAML has no tuples
        'config': json.loads(json.dumps(asdict(config))),
        **built.origin,
    }
    return LocalizationMap(
        name=data.scene.name,
        camera=data.camera,
        normalization=data.normalization,
        background=data.background,
        field=field,
        diffusion=diffusion,
        calibration=calibration,
        training_cameras=data.views.T_norm_cam,
        metric=data.scene.metric,
        provenance=provenance,
    )


def build_map(
    data: TrainingData,
    config: BuildConfig,
    source: FieldSource | None = None,
    seed: int = 0,
    device: torch.device | str = 'cpu',
    weights: Path | None = None,
    work: Path | None = None,
    report: Report = no_report,
) -> LocalizationMap:
    """Train field and diffusion model, calibrate.

    Args:
        data: the scene, from `TrainingData.load`.
        config: see `BUILD_PRESETS`.
        source: where the field comes from; default, trained as ``config`` says.
        seed: of everything random.
        device: where to compute.
        weights: file with ImageNet weights of the backbone, see `make_conditioning`.
        work: folder for checkpoints; a build of the same data and configuration resumes there.
        report: receives the progress of all stages: field, views, features, diffusion, calibration
            field, calibration.
    """
    timed = TimedReport(report)
    source = source or FieldSource(config.field)
    built = build_field(data, source, seed, device, work, timed)
    diffusion = build_diffusion(data, built.field, config, seed, device, weights, work, timed)
    calibration = calibrated(data, config, seed, device, work, timed)
    place = assemble(data, built, diffusion, calibration, config, seed)
    # of the last run, where a build was stopped and went on
    seconds = {stage: round(spent, 1) for stage, spent in timed.seconds.items()}
    place.provenance['build_stage_seconds'] = seconds
    return place
