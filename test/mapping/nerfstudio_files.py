# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs as ns-train leaves them, with a dataset whose poses it turned and scaled."""

import json

import numpy as np
import torch
from scipy.spatial.transform import Rotation

#: The parts of a config.yml that matter, in the words of nerfstudio 1.1.5.
CONFIG = """\
!!python/object:nerfstudio.engine.trainer.TrainerConfig
_target: !!python/name:nerfstudio.engine.trainer.Trainer ''
data: null
method_name: {method}
pipeline: !!python/object:nerfstudio.pipelines.base_pipeline.VanillaPipelineConfig
  datamanager: !!python/object:nerfstudio.data.datamanagers.VanillaDataManagerConfig
    _target: !!python/object/apply:_operator.getitem
    - !!python/name:nerfstudio.data.datamanagers.base_datamanager.VanillaDataManager ''
    - !!python/name:nerfstudio.data.datasets.depth_dataset.DepthDataset ''
    data: null
    dataparser: !!python/object:nerfstudio.data.dataparsers.NerfstudioDataParserConfig
      _target: !!python/name:nerfstudio.data.dataparsers.nerfstudio_dataparser.Nerfstudio ''
      data: !!python/object/apply:pathlib.PosixPath
{data}
{model}relative_model_dir: !!python/object/apply:pathlib.PosixPath
- nerfstudio_models
"""
APPLIED = np.array([[0, 1, 0, 0.5], [1, 0, 0, -0.25], [0, 0, -1, 2.0]])
TURN = Rotation.from_euler('xyz', [0.4, -0.2, 1.1]).as_matrix()
SHIFT, SCALE = np.array([0.3, -0.6, 0.1]), 0.37


def write_run(root, method, model, checkpoints):
    """Write a run of checkpoints, {step: state of the pipeline}, and its dataset; its folder.

    The poses of transforms.json, which ns-process-data turned by APPLIED and doubled, were taken by
    the training to SCALE * (TURN x + SHIFT).
    """
    data, folder = root / 'data', root / 'outputs/data' / method / 'now'
    data.mkdir()
    content = {'applied_transform': APPLIED.tolist(), 'applied_scale': 2.0, 'frames': []}
    (data / 'transforms.json').write_text(json.dumps(content))
    (folder / 'nerfstudio_models').mkdir(parents=True)
    parts = '\n'.join(f'      - {part}' for part in data.parts)
    (folder / 'config.yml').write_text(CONFIG.format(method=method, data=parts, model=model))
    # nerfstudio writes the way from the frame before ns-process-data
    from_saved = np.eye(4)
    from_saved[:3, :3], from_saved[:3, 3] = TURN, SHIFT
    total = from_saved @ np.vstack([APPLIED, [0, 0, 0, 1]])
    transform = {'transform': total[:3].tolist(), 'scale': SCALE * 2.0}
    (folder / 'dataparser_transforms.json').write_text(json.dumps(transform))
    for step, state in checkpoints.items():
        path = folder / f'nerfstudio_models/step-{step:09d}.ckpt'
        schedule = {'last_lr': [np.float64(0.01)]}  # as the trainer leaves it
        torch.save({'step': step, 'pipeline': state, 'schedulers': schedule}, path)
    return folder
