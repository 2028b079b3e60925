# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training nerfacto by nerfstudio's own trainer, on views that we hold."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

import cv2
import numpy as np
import torch

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import optical_to_opengl
from caldiff_ros.mapping.context import BuildContext, digest
from caldiff_ros.mapping.field_training import FieldTraining, FieldViews
from caldiff_ros.mapping.nerfacto_run import nerfacto_from_run
from caldiff_ros.mapping.nerfstudio_run import NerfstudioRun
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.field import BACKGROUND_COLORS
from caldiff_ros.nerf.nerfacto import NerfactoField, without_image_metrics

if TYPE_CHECKING:
    from nerfstudio.engine.trainer import Trainer, TrainerConfig

#: Normalized units per count of the 16-bit depth images: they reach 6.5 units.
_DEPTH_UNIT = 1e-4
_SAVE_INTERVAL = 200


@dataclass(frozen=True, kw_only=True)
class NerfactoTraining(FieldTraining):
    """How nerfstudio trains nerfacto; the defaults are the paper's (section 4.2), for a GPU."""

    kind: ClassVar[str] = 'nerfacto'

    iterations: int = 10_000
    """Optimizer steps."""
    rays: int = 4096
    """Rays in a step, drawn from all training images."""
    samples: int = 96
    """Samples on a ray, placed by the proposal networks."""
    proposal_samples: tuple[int, int] = (256, 96)
    """Samples on a ray of the two proposal networks."""
    levels: int = 16
    """Levels of the hash grid."""
    base_resolution: int = 16
    """Cells along an edge at the coarsest level."""
    max_resolution: int = 2048
    """Cells along an edge at the finest level."""
    log2_hashmap_size: int = 19
    """Entries of the hash table of a level, as a power of two."""
    depth_weight: float = 0.001
    """Weight of depth-nerfacto's loss where the dataset has depth images."""

    def train(self, data: FieldViews, context: BuildContext) -> NerfactoField:
        """See `FieldTraining.train`."""
        with ExitStack() as stack:
            folder = context.folder('nerfacto')
            if folder is None:
                folder = Path(stack.enter_context(TemporaryDirectory()))
            run = train_nerfacto(data, self, folder, context)

        return nerfacto_from_run(run, None, data.background).to(context.device)


@dataclass(frozen=True, kw_only=True)
class AdoptedNerfacto(FieldTraining):
    """The field of an ns-train run, as it is."""

    kind: ClassVar[str] = 'nerfacto'

    run: NerfstudioRun

    def train(self, data: FieldViews, context: BuildContext) -> NerfactoField:
        """See `FieldTraining.train`; nothing is trained."""
        adopted = nerfacto_from_run(self.run, data.normalization, data.background)
        return adopted.to(context.device)

    def origin(self) -> dict[str, Any]:
        """See `FieldTraining.origin`."""
        return {'nerfstudio_run': self.run.config_path.parent.name}

    def as_plain(self) -> dict[str, Any]:
        """See `FieldTraining.as_plain`; the weights are in the map."""
        return self.origin()


#: Small enough for two cores: minutes instead of days, and blurred compared with the real size.
CPU_NERFACTO = NerfactoTraining(
    iterations=800,
    rays=1024,
    samples=32,
    proposal_samples=(64, 32),
    levels=8,
    max_resolution=512,
    log2_hashmap_size=15,
    depth_weight=0.01,
)


#: By build preset.
PRESETS = {'fast': CPU_NERFACTO, 'paper': NerfactoTraining()}


def train_nerfacto(
    data: FieldViews, training: NerfactoTraining, folder: Path, context: BuildContext
) -> NerfstudioRun:
    """Train nerfacto on views, or depth-nerfacto if they have depth.

    Args:
        data: training images; they are written to ``folder`` in nerfstudio's form.
        training: size and length.
        folder: of the dataset and the run; a training that was stopped resumes there.
        context: receives 'loss' at every step.

    Returns:
        The run; the frame of its poses is that of the views, normalized coordinates.

    Raises:
        CaldiffError: if nerfstudio is not installed.
    """
    views = data.views
    background = data.background
    dataset = folder / 'dataset'
    write_dataset(views, background, dataset)
    config = _trainer_config(
        training, dataset, folder / 'runs', with_depth=views.depth is not None, context=context
    )

    # another training starts afresh
    identity = digest(context.seed, training, views, background)
    config.timestamp = identity[:12]
    run = config.get_base_dir()
    checkpoints = config.get_checkpoint_dir()
    if (checkpoints / f'step-{training.iterations - 1:09d}.ckpt').is_file():
        return NerfstudioRun.load(run / 'config.yml', dataset)
    context.begin('field')
    if any(checkpoints.glob('step-*.ckpt')):
        config.load_dir = checkpoints

    with context.seeded(), without_image_metrics(), _quiet():
        config.save_config()
        trainer = config.setup(local_rank=0, world_size=1)
        trainer.setup()
        config.max_num_iterations -= trainer._start_step  # it counts from where it resumes
        _report_steps(trainer, training.iterations, context)
        trainer.train()

    return NerfstudioRun.load(run / 'config.yml', dataset)


def write_dataset(views: Views, background: str, folder: Path) -> None:
    """``transforms.json`` with images, masks and depth, poses in normalized coordinates."""
    folder.mkdir(parents=True, exist_ok=True)
    camera = views.camera
    colors = (views.on_background(BACKGROUND_COLORS[background]) * 255).round().to(torch.uint8)
    poses = optical_to_opengl(views.T_norm_cam.matrix().double().cpu().numpy())
    frames = []

    for i, (color, pose) in enumerate(zip(colors.numpy(), poses, strict=True)):
        name = f'{i:05d}'
        cv2.imwrite(str(folder / f'{name}.png'), color[..., ::-1])
        frame = {'file_path': f'{name}.png', 'transform_matrix': pose.tolist()}

        if not bool(views.seen.all()):  # nerfstudio wants a mask for each image or for none
            mask = views.seen[i].numpy().astype(np.uint8) * 255
            cv2.imwrite(str(folder / f'{name}-mask.png'), mask)
            frame['mask_path'] = f'{name}-mask.png'

        if views.depth is not None:
            counts = (views.depth[i].numpy() / _DEPTH_UNIT).round().clip(0, 65535)
            cv2.imwrite(str(folder / f'{name}-depth.png'), counts.astype(np.uint16))
            frame['depth_file_path'] = f'{name}-depth.png'

        frames.append(frame)

    names = [frame['file_path'] for frame in frames]
    content = {
        'camera_model': 'OPENCV',
        'fl_x': camera.fx,
        'fl_y': camera.fy,
        'cx': camera.cx,
        'cy': camera.cy,
        'w': camera.width,
        'h': camera.height,
        'frames': frames,
        'train_filenames': names,
        'val_filenames': names[:1],
        'test_filenames': names[:1],
    }

    (folder / 'transforms.json').write_text(json.dumps(content))


def _trainer_config(
    training: NerfactoTraining,
    data: Path,
    runs: Path,
    with_depth: bool,
    context: BuildContext,
) -> TrainerConfig:
    try:
        from nerfstudio.configs.method_configs import method_configs
        from nerfstudio.data.datamanagers.base_datamanager import (
            VanillaDataManager,
            VanillaDataManagerConfig,
        )
        from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
        from nerfstudio.data.datasets.depth_dataset import DepthDataset
    except ImportError as error:
        raise CaldiffError(
            f'nerfstudio cannot be imported ({error}), expected it to train nerfacto; install it '
            'with pip install nerfstudio'
        ) from error

    device = context.device
    method = 'depth-nerfacto' if with_depth else 'nerfacto'
    config = deepcopy(method_configs[method])
    config.output_dir = runs
    config.experiment_name = 'views'
    config.max_num_iterations = training.iterations
    config.steps_per_save = _SAVE_INTERVAL

    # no viewer; evaluation on images is ours
    config.vis = 'tensorboard'
    config.steps_per_eval_batch = config.steps_per_eval_image = 10**9
    config.steps_per_eval_all_images = 10**9
    config.logging.local_writer.enable = False
    config.logging.profiler = 'none'
    config.machine.device_type = device.type
    config.machine.seed = context.seed
    config.mixed_precision = device.type == 'cuda'
    config.pipeline.datamanager = VanillaDataManagerConfig(
        _target=VanillaDataManager[DepthDataset] if with_depth else VanillaDataManager,
        dataparser=NerfstudioDataParserConfig(
            data=data,
            downscale_factor=1,
            orientation_method='none',
            center_method='none',
            depth_unit_scale_factor=_DEPTH_UNIT,
        ),
        train_num_rays_per_batch=training.rays,
        eval_num_rays_per_batch=training.rays,
    )

    model = config.pipeline.model
    model.num_nerf_samples_per_ray = training.samples
    model.num_proposal_samples_per_ray = tuple(training.proposal_samples)
    model.num_levels = training.levels
    model.base_res = training.base_resolution
    model.max_res = training.max_resolution
    model.log2_hashmap_size = training.log2_hashmap_size
    model.camera_optimizer.mode = 'off'  # the poses are those that answers are compared with
    if device.type != 'cuda':
        model.implementation = 'torch'
    if with_depth:
        model.depth_loss_mult = training.depth_weight

    return config


def _report_steps(trainer: Trainer, n_steps: int, context: BuildContext) -> None:
    iterate = trainer.train_iteration

    def reported(step: int):
        result = iterate(step)
        context.progress('field', step + 1, n_steps, {'loss': result[0].item()})
        return result

    trainer.train_iteration = reported


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep nerfstudio's console and its warnings about its own code silent."""
    from nerfstudio.utils.rich_utils import CONSOLE

    with mock.patch.object(CONSOLE, 'quiet', True), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
