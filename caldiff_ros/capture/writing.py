# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The dataset on disk: ``images/``, ``transforms.json``, ``sparse/0`` and ``capture.json``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from caldiff_ros.capture.config import EXTRA
from caldiff_ros.capture.gravity import Gravity
from caldiff_ros.capture.reconstruction import write_model
from caldiff_ros.capture.report import CaptureReport
from caldiff_ros.capture.scale import Scale, Solved
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import optical_to_opengl
from caldiff_ros.packages import load_pycolmap
from caldiff_ros.scenes.intrinsics import COLMAP_PARAMETERS

REPORT_FILE = 'capture.json'


def check_output(output: Path) -> None:
    """Refuse to replace anything that is not an earlier capture.

    Raises:
        CaldiffError: if ``output`` is a file, or a folder with other things in it.
    """
    if output.is_dir() and ((output / REPORT_FILE).is_file() or not any(output.iterdir())):
        return

    if output.exists():
        raise CaldiffError(
            f'{output} exists and is not a capture, expected a new name or an older capture to '
            'replace; give another --output'
        )


def move_to_map(solved: Solved, gravity: Gravity, scale: Scale | None) -> None:
    """Turn a reconstruction upright and to metres, with the mean camera centre as origin."""
    pycolmap = load_pycolmap(EXTRA)
    factor = 1.0 if scale is None else scale.metres_per_unit
    R = gravity.R_map_sfm
    origin = solved.centers().mean(axis=0)
    rotation = pycolmap.Rotation3d(R)
    solved.model.transform(pycolmap.Sim3d(factor, rotation, -factor * R @ origin))


def write_dataset(folder: Path, solved: Solved, report: CaptureReport) -> None:
    """Write everything but the pictures, and take away those that have no pose.

    Args:
        folder: of the dataset, whose ``images`` are there.
        solved: in map coordinates.
        report: goes into ``capture.json``.
    """
    sparse = folder / 'sparse/0'
    shutil.rmtree(sparse, ignore_errors=True)
    write_model(solved.model, sparse)

    content = {'metric': report.scale is not None, **transforms_of(solved)}
    transforms = json.dumps(content, indent=2, allow_nan=False)
    (folder / 'transforms.json').write_text(transforms)
    (folder / REPORT_FILE).write_text(json.dumps(report.as_json(), indent=2, allow_nan=False))

    registered = {picture.name for picture, _ in solved.registered()}
    for picture in solved.taken.pictures:
        if picture.name not in registered:
            (folder / 'images' / picture.name).unlink(missing_ok=True)


def replace_output(folder: Path, output: Path) -> None:
    """Rename the complete dataset to where it belongs."""
    older = output.with_name(f'{output.name}.older')
    if output.exists():
        output.rename(older)

    folder.rename(output)
    shutil.rmtree(older, ignore_errors=True)


def transforms_of(solved: Solved) -> dict[str, Any]:
    """The object of ``transforms.json``, with intrinsics for all frames or for each."""
    registered = solved.registered()
    numbers = {image.camera_id for _, image in registered}
    common = intrinsics(registered[0][1].camera) if len(numbers) == 1 else {}
    frames = []

    for picture, image in registered:
        T_map_cam = np.eye(4)
        T_map_cam[:3] = image.cam_from_world().inverse().matrix()
        own = {} if common else intrinsics(image.camera)
        pose = optical_to_opengl(T_map_cam).tolist()
        frames.append({'file_path': f'images/{picture.name}', **own, 'transform_matrix': pose})

    return {**common, 'frames': frames}


def intrinsics(camera: Any) -> dict[str, Any]:
    """A camera of COLMAP under nerfstudio's names."""
    names = COLMAP_PARAMETERS[camera.model_name]
    numbers = dict(zip(names, map(float, camera.params), strict=True))
    if 'f' in numbers:
        numbers['fl_x'] = numbers['fl_y'] = numbers.pop('f')

    fisheye = camera.model_name == 'OPENCV_FISHEYE'
    usual = ('k1', 'k2', 'k3', 'k4') if fisheye else ('k1', 'k2', 'p1', 'p2')
    # nerfstudio has no rational model
    rational = not fisheye and any(numbers.get(key) for key in ('k4', 'k5', 'k6'))
    perspective = 'FULL_OPENCV' if rational else 'OPENCV'

    return {
        'camera_model': 'OPENCV_FISHEYE' if fisheye else perspective,
        'w': camera.width,
        'h': camera.height,
        **dict.fromkeys(usual, 0.0),
        **{key: value for key, value in numbers.items() if value or key in usual},
    }
