# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a folder written by ``ns-train`` says, read without running anything that is in it.

nerfstudio itself reads ``config.yml`` with a loader that calls whatever the file names, and
checkpoints by unpickling. Here both are data: tags of Python objects become plain mappings, and
the checkpoint may hold tensors, numbers and containers only.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.nerfstudio_config import read_config
from caldiff_ros.scenes.reading import read_json


@dataclass(frozen=True)
class ModelKind:
    """Models of nerfstudio that are read in the same way.

    Attributes:
        methods: what ns-train calls them.
        targets: their classes.
    """

    methods: tuple[str, ...]
    targets: tuple[str, ...]


#: Models that `NerfactoField` can rebuild.
NERFACTO = ModelKind(('nerfacto', 'depth-nerfacto'), ('NerfactoModel', 'DepthNerfactoModel'))
#: Models of Gaussians.
SPLATFACTO = ModelKind(('splatfacto', 'splatfacto-big', 'splatfacto-mcmc'), ('SplatfactoModel',))
#: What nerfstudio takes a COLMAP dataset without ``applied_transform`` to have been turned by.
_COLMAP_TRANSFORM = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]], float)


@dataclass(frozen=True)
class NerfstudioRun:
    """A training run.

    Attributes:
        config_path: the run's ``config.yml``.
        data: dataset that it was trained on, as far as it can be found.
        settings: fields of the model's configuration that are plain values.
        weights: state of the model.
        nerf_from_map: (4, 4) similarity from the frame of the dataset's poses to nerfstudio's own,
            where the training has rotated, centred and scaled them.
    """

    config_path: Path
    data: Path | None
    settings: dict[str, Any]
    weights: dict[str, Tensor]
    nerf_from_map: np.ndarray

    @classmethod
    def load(
        cls,
        config_path: str | Path,
        data: str | Path | None = None,
        kind: ModelKind = NERFACTO,
    ) -> NerfstudioRun:
        """Read a run.

        Args:
            config_path: its ``config.yml``, or the folder that holds it.
            data: dataset, where it is not at the place that the run names.
            kind: the models that it may be of.

        Raises:
            CaldiffError: if the run is incomplete, damaged, or of another model.
        """
        config_path = Path(config_path).expanduser().resolve()
        if config_path.is_dir():
            config_path = config_path / 'config.yml'

        config = read_config(config_path)
        found = Path(data).expanduser().resolve() if data else _data_path(config, config_path)
        folder = config_path.parent / str(config.get('relative_model_dir') or 'nerfstudio_models')

        return cls(
            config_path,
            found,
            _settings(config, config_path, kind),
            _weights(folder),
            _nerf_from_map(config, config_path, found),
        )


def _settings(config: dict[str, Any], path: Path, kind: ModelKind) -> dict[str, Any]:
    model = config['pipeline'].get('model')
    target = model.get('_target') if isinstance(model, dict) else None

    if target not in kind.targets:
        raise CaldiffError(
            f'{path} is a run of {config.get("method_name")} ({target}), expected '
            f'{" or ".join(kind.methods)}; train with ns-train {kind.methods[0]}'
        )

    return {key: _jsonable(value) for key, value in model.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)

    return value is None or isinstance(value, (bool, int, float, str))


def _jsonable(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _data_path(config: dict[str, Any], config_path: Path) -> Path | None:
    """Dataset of a run; relative paths count from where ns-train ran, or from above the run."""
    manager = config['pipeline'].get('datamanager') or {}
    parser = manager.get('dataparser') or {}

    for named in (manager.get('data'), parser.get('data'), config.get('data')):
        if not isinstance(named, str) or named == '.':
            continue

        for base in (Path.cwd(), *config_path.parents):
            if (base / named).exists():
                return (base / named).resolve()

    return None


class _Ignored:
    """In place of numpy's numbers, which ns-train leaves in the state of its schedulers."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


_NUMPY_NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Ignored, f'numpy.{name}')
    for name in ('dtype', 'core.multiarray.scalar', '_core.multiarray.scalar')
]


def _weights(folder: Path) -> dict[str, Tensor]:
    """State of the model in the newest checkpoint."""
    steps = {
        int(match[1]): path
        for path in folder.glob('step-*.ckpt')
        if (match := re.fullmatch(r'step-(\d+)\.ckpt', path.name))
    }
    if not steps:
        raise CaldiffError(
            f'{folder} holds no checkpoint, expected step-*.ckpt of an ns-train run; copy the '
            'whole folder of the run'
        )

    path = steps[max(steps)]
    try:
        with torch.serialization.safe_globals(_NUMPY_NUMBERS):
            state = torch.load(path, map_location='cpu', weights_only=True)['pipeline']

        prefix = '_model.'
        named = {key.removeprefix('module.'): value for key, value in state.items()}
        return {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix)}
    except pickle.UnpicklingError as error:
        raise CaldiffError(
            f'{path} holds more than tensors, numbers and containers and is not read, because '
            'unpickling it could run code; train again with nerfstudio 1.1 or newer'
        ) from error
    except (RuntimeError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise CaldiffError(
            f'{path} is damaged ({type(error).__name__}), expected a checkpoint of ns-train; copy '
            'it again'
        ) from error


def _nerf_from_map(config: dict[str, Any], config_path: Path, data: Path | None) -> np.ndarray:
    """Similarity from the poses of ``transforms.json`` to the frame of the field.

    ``dataparser_transforms.json`` maps from the frame before ``ns-process-data``, whose own turn
    (``applied_transform``) and scale are in ``transforms.json``; undoing these leaves the user's.
    """
    path = config_path.parent / 'dataparser_transforms.json'
    try:
        content = json.loads(path.read_text())
        transform = np.vstack([np.array(content['transform'], float), [0, 0, 0, 1]])
        scale = float(content['scale'])
        valid = transform.shape == (4, 4) and np.isfinite(transform).all() and scale > 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CaldiffError(
            f'{path} cannot be read ({type(error).__name__}), expected the transform and scale '
            'that ns-train writes beside config.yml; copy the whole folder of the run'
        ) from error

    if not valid:
        raise CaldiffError(
            f'{path} holds no 3x4 transform and positive scale, expected what ns-train writes; '
            'copy the folder of the run again'
        )

    applied, applied_scale = _applied_transform(config, data)
    nerf_from_map = transform @ np.linalg.inv(applied)
    nerf_from_map[:3] *= scale / applied_scale

    return nerf_from_map


def _applied_transform(config: dict[str, Any], data: Path | None) -> tuple[np.ndarray, float]:
    """What ``ns-process-data`` did to the poses, (4, 4), and its scale."""
    parser = (config['pipeline'].get('datamanager') or {}).get('dataparser') or {}
    if parser.get('_target') == 'ColmapDataParser':
        return np.eye(4), 1.0  # it read the model of COLMAP itself

    file = None if data is None else data if data.suffix == '.json' else data / 'transforms.json'
    if file is None or not file.is_file():
        if parser.get('_target') == 'Blender':
            return np.eye(4), 1.0

        raise CaldiffError(
            f'the dataset of the run is not at {data}, expected its transforms.json, which defines '
            'the frame of the poses; give the dataset as well'
        )

    content = read_json(file)
    if 'applied_transform' in content:
        applied = np.vstack([np.array(content['applied_transform'], float)[:3], [0, 0, 0, 1]])
    elif (file.parent / 'colmap/sparse/0').exists():
        applied = _COLMAP_TRANSFORM
    else:
        applied = np.eye(4)

    return applied, float(content.get('applied_scale', 1.0))
