# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The field of an ns-train run."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Normalization
from caldiff_ros.mapping.nerfstudio_run import NerfstudioRun
from caldiff_ros.nerf.nerfacto import NerfactoConfig, NerfactoField

#: Parameters without meaning outside nerfstudio's trainer.
_TRAINING_ONLY = ('camera_optimizer.', 'device_indicator_param', 'lpips.', 'psnr.')


def nerfacto_from_run(
    run: NerfstudioRun, normalization: Normalization | None, background: str = 'none'
) -> NerfactoField:
    """The trained field of an ns-train run.

    Args:
        run: the run.
        normalization: of the map that the field becomes part of; None if the run was trained in
            normalized coordinates.
        background: what was behind images with alpha.

    Raises:
        CaldiffError: if the weights do not fit the model, as those of tiny-cuda-nn do not fit
            torch's.
    """
    map_from_norm = np.eye(4)
    if normalization is not None:
        map_from_norm[:3, :3] *= normalization.side
        map_from_norm[:3, 3] = normalization.center

    nerf_from_norm = (run.nerf_from_map @ map_from_norm)[:3]
    weights = {
        name: value for name, value in run.weights.items() if not name.startswith(_TRAINING_ONLY)
    }
    tcnn = any('tcnn_encoding' in name for name in weights)

    try:
        box = weights['field.aabb']
        embedding = weights.get('field.embedding_appearance.embedding.weight')
    except KeyError as error:
        raise CaldiffError(
            f'the checkpoint of {run.config_path} has no {error}, expected a nerfacto model; '
            'train again with ns-train nerfacto'
        ) from error

    config = NerfactoConfig(
        {**run.settings, 'implementation': 'tcnn' if tcnn else 'torch'},
        tuple(map(tuple, nerf_from_norm.tolist())),
        1 if embedding is None else len(embedding),
        float(box[1, 0] - box[0, 0]),
    )
    field = NerfactoField(config, torch.tensor([[-0.5] * 3, [0.5] * 3]), background)
    _load(field.model, weights, run)

    return field.requires_grad_(False).eval()


def _load(model: nn.Module, weights: dict[str, Tensor], run: NerfstudioRun) -> None:
    own = {name for name in model.state_dict() if not name.startswith(_TRAINING_ONLY)}
    try:
        missing = own - weights.keys()
        if missing:
            raise KeyError(sorted(missing)[0])
        model.load_state_dict({name: weights[name] for name in own}, strict=False)
    except (KeyError, RuntimeError) as error:
        raise CaldiffError(
            f'the checkpoint of {run.config_path} does not fit its configuration ({error}), '
            'expected the weights of the same nerfacto model; copy the folder of the run again'
        ) from error
