# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The cameras of a dataset whose images are not there: where they were, and what they saw of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.scenes.colmap import colmap_cameras, find_colmap_model
from caldiff_ros.scenes.inria import inria_cameras
from caldiff_ros.scenes.nerfstudio import is_metric
from caldiff_ros.scenes.reading import read_json
from caldiff_ros.scenes.transforms import transforms_cameras
from caldiff_ros.wording import counted


@dataclass(frozen=True)
class Trajectory:
    """Poses of cameras without their images.

    Attributes:
        path: the file or folder that lists them.
        camera: of the first, without distortion.
        T_map_cam: (N, 4, 4) float64, optical cameras to map, at least two.
        metric: whether the unit of the map is the metre.
    """

    path: Path
    camera: Camera
    T_map_cam: np.ndarray
    metric: bool = False


def read_trajectory(path: str | Path) -> Trajectory:
    """Read the cameras of INRIA, nerfstudio or COLMAP; images are not looked for.

    Args:
        path: a ``cameras.json`` or ``transforms.json``, or a folder with one or a COLMAP model.

    Raises:
        CaldiffError: if there are no such cameras, or fewer than two.
    """
    path = Path(path).expanduser().resolve()
    posed, metric = _in_folder(path) if path.is_dir() else _in_file(path)
    if len(posed) < 2:
        raise CaldiffError(
            f'{path} lists {counted(len(posed), "camera")}, expected at least 2 and better 15 or '
            'more; give the splat alone'
        )

    return Trajectory(path, posed[0][0].pinhole(), np.stack([T for _, T in posed]), metric)


def _in_folder(folder: Path) -> tuple[list[tuple[Camera, np.ndarray]], bool]:
    """Cameras with their poses, and whether these are in metres; in the order of `open_scene`."""
    if (folder / 'transforms.json').is_file():
        return _in_file(folder / 'transforms.json')
    if (model := find_colmap_model(folder)) is not None:
        return colmap_cameras(model), False
    if (folder / 'cameras.json').is_file():
        return _in_file(folder / 'cameras.json')

    raise CaldiffError(
        f'{folder} has no image that exists and lists no cameras, expected transforms.json '
        '(nerfstudio), a COLMAP model or cameras.json (INRIA); give one, or the images'
    )


def _in_file(path: Path) -> tuple[list[tuple[Camera, np.ndarray]], bool]:
    """See `_in_folder`."""
    if path.name == 'cameras.json':
        return [(camera, T_map_cam) for _, camera, T_map_cam in inria_cameras(path)], False

    return transforms_cameras(path), is_metric(read_json(path), path)
