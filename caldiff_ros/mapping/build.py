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
from typing import Any

import torch

import caldiff_ros
from caldiff_ros.diffusion.conditioning import ConditioningConfig
from caldiff_ros.diffusion.denoiser import DenoiserConfig
from caldiff_ros.diffusion.model import DiffusionConfig, PoseDiffusion
from caldiff_ros.diffusion.schedule import ScheduleConfig
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.confidence import Calibration
from caldiff_ros.localization.landmarks import Landmarks
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.mapping.calibration import CalibrationConfig
from caldiff_ros.mapping.context import BuildContext, TimedReport
from caldiff_ros.mapping.diffusion_training import DiffusionTraining, train_diffusion
from caldiff_ros.mapping.field_training import FieldTraining, psnr
from caldiff_ros.mapping.fields import BakingConfig, BuiltField, build_field
from caldiff_ros.mapping.gaussian_training import GaussianTraining
from caldiff_ros.mapping.landmark_views import (
    have_landmarks,
    landmarks_of_tracks,
    rendered_landmarks,
)
from caldiff_ros.mapping.map_calibration import calibrate_given, calibrate_map
from caldiff_ros.mapping.rendered_views import RenderedViewsConfig, render_views
from caldiff_ros.mapping.training_data import Background, TrainingData
from caldiff_ros.nerf.field import BACKGROUND_COLORS, RadianceField
from caldiff_ros.wording import counted


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """Everything that `build_map` does."""

    field: FieldTraining = dataclass_field(default_factory=GaussianTraining)
    """The radiance field and its training."""
    bake: bool = dataclass_field(default_factory=lambda: not torch.cuda.is_available())
    """Train a native field on renders of nerfacto and keep that: the robot then needs no
    nerfstudio, and a CPU is fast enough. On by default where there is no CUDA."""
    baking: BakingConfig = dataclass_field(default_factory=BakingConfig)
    """How a nerfacto field is baked."""
    views: RenderedViewsConfig = dataclass_field(default_factory=RenderedViewsConfig)
    """Views rendered from the field, on which the diffusion model is trained with the real ones."""
    # half the paper's width: four times as fast, in a scene of one's own no worse
    diffusion: DiffusionTraining = dataclass_field(
        default_factory=lambda: DiffusionTraining(
            model=DiffusionConfig(denoiser=DenoiserConfig(width=512))
        )
    )
    """The pose diffusion model and its training."""
    backbone_weights: Path | None = None
    """File with the ImageNet weights of the image network, if they cannot be downloaded."""
    calibration: CalibrationConfig = dataclass_field(default_factory=CalibrationConfig)
    """How the confidence and the covariance are calibrated."""
    background: Background = 'auto'
    """Colour behind images with alpha; auto is white for them and none for photographs."""

    def as_plain(self) -> dict[str, Any]:
        """As plain values, for the provenance of a map."""
        content = asdict(replace(self, field=GaussianTraining(), backbone_weights=None))
        # JSON and back: YAML has no tuples
        return json.loads(json.dumps({**content, 'field': self.field.as_plain()}))


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


def build_map_field(data: TrainingData, config: BuildConfig, context: BuildContext) -> BuiltField:
    """First stage of a build: the radiance field; `build_map` with the same context resumes it."""
    if not config.field.is_given:
        data = data.with_points(context)
    return _build_field(data, config, context)


def _build_field(data: TrainingData, config: BuildConfig, context: BuildContext) -> BuiltField:
    """The same of data that has its points: without a work folder they would be found twice."""
    return build_field(data, config.field, config.baking if config.bake else None, context)


def build_map(
    data: TrainingData,
    config: BuildConfig,
    context: BuildContext,
    built: BuiltField | None = None,
) -> LocalizationMap:
    """Make a map, stage by stage.

    Calibration comes first: images that do not explain each other are found in seconds.

    Args:
        data: the scene, from `TrainingData.load`.
        config: see `BUILD_PRESETS`.
        context: seed, device and work folder, in which a stopped build resumes; receives the
            progress of all stages: triangulation, calibration field, calibration, field, views,
            features, diffusion, landmarks.
        built: the field, if there is one already.

    Raises:
        CaldiffError: if the images do not explain each other, see `CalibrationConfig`.
    """
    timed = TimedReport(context.report)
    context = replace(context, report=timed)
    if data.frames and have_landmarks(data.camera):
        data = data.with_tracks(context)

    if config.field.is_given:
        built = built or _build_field(data, config, context)
        calibration, judged = calibrate_given(data, built.field, config.calibration, context)
    else:
        data = data.with_points(context)
        calibration, judged = calibrate_map(data, config.field, config.calibration, context)
        built = built or _build_field(data, config, context)
    diffusion = build_diffusion(data, built.field, config, context)

    localization_map = _assemble(data, built, diffusion, calibration)
    if have_landmarks(data.camera):
        localization_map.landmarks = _landmarks(data, built.field, context)
    localization_map.provenance = _provenance(data, built, config, context) | judged

    # of the last run, where a build was stopped and resumed
    seconds = {stage: round(spent, 1) for stage, spent in timed.seconds.items()}
    localization_map.provenance['build_stage_seconds'] = seconds
    return localization_map


def _landmarks(data: TrainingData, field: RadianceField, context: BuildContext) -> Landmarks:
    """Of what the photographs share; of a map without any, or that share too little, rendered."""
    if data.tracks is not None and data.tracks.points.are_enough:
        return landmarks_of_tracks(data.tracks)

    return rendered_landmarks(field, data.views.T_norm_cam, data.camera, context)


def build_diffusion(
    data: TrainingData, field: RadianceField, config: BuildConfig, context: BuildContext
) -> PoseDiffusion:
    """Train the diffusion model on the real views and on views rendered around them."""
    # 1. The real views, at the size that the network sees
    longer = max(data.camera.width, data.camera.height)
    small = data.camera.downscaled(longer / config.diffusion.model.conditioning.image_size)
    color = BACKGROUND_COLORS[data.background]
    real = data.views.on_background(color).permute(0, 3, 1, 2)
    real = torch.nn.functional.interpolate(
        real, (small.height, small.width), mode='bilinear', antialias=True
    )
    images = (real.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    poses = data.views.T_norm_cam

    # 2. Rendered ones around them
    if config.views.count > 0:
        rendered, around = render_views(
            field, poses.to(context.device), small, config=config.views, context=context
        )
        images = torch.cat([images, rendered])
        poses = Pose.cat([poses, around])

    return train_diffusion(
        images, poses, config.diffusion, context=context, weights=config.backbone_weights
    )


def _assemble(
    data: TrainingData, built: BuiltField, diffusion: PoseDiffusion, calibration: Calibration
) -> LocalizationMap:
    return LocalizationMap(
        name=data.scene.name,
        camera=data.camera,
        normalization=data.normalization,
        background=data.background,
        field=built.field,
        diffusion=diffusion,
        calibration=calibration,
        training_cameras=data.views.T_norm_cam,
        metric=data.scene.metric,
    )


def _provenance(
    data: TrainingData, built: BuiltField, config: BuildConfig, context: BuildContext
) -> dict[str, Any]:
    """How the map was made."""
    device = built.field.aabb.device
    quality = None if data.held_out is None else psnr(built.field, data.held_out)
    return {
        'made_by': f'caldiff_ros {caldiff_ros.__version__}',
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'training_images': len(data.views),
        'downscale_factor': data.downscale_factor,
        'poses_read_as': str(data.scene.convention),
        'held_out_psnr_db': quality,
        'seed': context.seed,
        'torch': torch.__version__.split('+')[0],
        'machine': f'{platform.machine()}, {counted(torch.get_num_threads(), "thread")}, {device}',
        'config': config.as_plain(),
        **built.origin,
    }
