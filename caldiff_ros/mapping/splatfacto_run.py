# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Gaussians of an ns-train splatfacto run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.nerfstudio_run import SPLATFACTO, NerfstudioRun
from caldiff_ros.nerf.splat_kernels import SH0
from caldiff_ros.splats.splat import Splat, unit

#: Terms of harmonics of degree 0 to 3.
_TERMS, _MOST_TERMS = (1, 4, 9, 16), 16


def read_splatfacto_run(config_path: str | Path, data: str | Path | None = None) -> Splat:
    """The Gaussians of a run in the frame and unit of the poses it was trained on.

    Nerfstudio turns, centres and scales the poses before it trains; here that is undone.

    Args:
        config_path: its ``config.yml``, or the folder that holds it.
        data: dataset, where it is not at the place that the run names.

    Raises:
        CaldiffError: if the run is incomplete, damaged, or not of splatfacto.
    """
    run = NerfstudioRun.load(config_path, data, SPLATFACTO)
    try:
        splat = _splat(run)
    except ValueError as error:
        raise CaldiffError(
            f'the checkpoint of {run.config_path} holds {error}, expected the Gaussians of '
            'splatfacto; copy the folder of the run again, or train again'
        ) from error

    return splat.transformed(np.linalg.inv(run.nerf_from_map))


def _splat(run: NerfstudioRun) -> Splat:
    """The Gaussians in nerfstudio's own frame."""
    N = len(_values(run, 'means', None, 3))
    constant = _values(run, 'features_dc', N, 3)
    rest = _values(run, 'features_rest', N, None, 3)
    if run.settings.get('sh_degree') == 0:
        # it trains a logit of the colour then
        constant = (constant.sigmoid() - 0.5) / SH0

    # of degree 3 at most, as other readers have them
    harmonics = torch.cat([constant[:, None], rest], dim=1)[:, :_MOST_TERMS]
    if harmonics.shape[1] not in _TERMS:
        raise ValueError(f'{harmonics.shape[1]} harmonics')

    mode = run.settings.get('rasterize_mode')
    return Splat(
        _values(run, 'means', N, 3).numpy(),
        _values(run, 'scales', N, 3).numpy(),
        unit(_values(run, 'quats', N, 4).numpy()),
        _values(run, 'opacities', N, 1)[:, 0].numpy(),
        np.ascontiguousarray(harmonics.numpy()),
        None if mode is None else mode == 'antialiased',
    )


def _values(run: NerfstudioRun, name: str, *shape: int | None) -> Tensor:
    """A parameter of this shape, float32; None stands for any number."""
    # without the prefix before nerfstudio 1.0.3
    value = run.weights.get(f'gauss_params.{name}', run.weights.get(name))
    if value is None:
        raise ValueError(f'no {name}')
    if value.ndim != len(shape) or any(
        expected not in (None, size) for size, expected in zip(value.shape, shape, strict=True)
    ):
        raise ValueError(f'{name} of shape {tuple(value.shape)}')

    return value.detach().float()
