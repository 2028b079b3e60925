# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Localize images in a map.

The pose T_map_cam transforms points from the camera frame (x right, y down, z forward) to the map
frame. An answer that cannot be trusted has the status NOT_LOCALIZED.

The images are assumed to come from the camera of the map, at any resolution, unless --camera gives
their intrinsics: four numbers fx,fy,cx,cy in pixels, or a JSON file with fl_x, fl_y, cx, cy, w, h
and, for a lens with distortion, camera_model and k1, k2, p1, p2 (the names of nerfstudio).
"""

from __future__ import annotations

import json
import logging
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from tyro.conf import FlagCreatePairsOff

from caldiff_ros.cli.common import ImagePaths, LocalizerArguments
from caldiff_ros.console import plain_console
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization import Localizer
from caldiff_ros.localization.answer import Answer, Status
from caldiff_ros.localization.masks import read_mask
from caldiff_ros.localization.overlay import draw_overlay
from caldiff_ros.scenes import read_image
from caldiff_ros.scenes.calibration import read_calibration
from caldiff_ros.scenes.images import fitted_camera, shows_upright
from caldiff_ros.scenes.intrinsics import read_camera

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Arguments(LocalizerArguments):
    """Arguments of ``caldiff localize``."""

    images: ImagePaths
    """Images, in any format that OpenCV reads."""

    camera: str | None = None
    """Calibration of the camera: fx,fy,cx,cy,k1,k2,p1,p2,k3 in pixels (or fewer), a camera_info
    .yaml file of ROS, or a .json file with the keys of nerfstudio. Default: that of the map."""

    mask: Path | None = None
    """Image that is black where the camera sees the robot itself, at any resolution. Default:
    mask.png in the map folder, if there is one."""

    json: FlagCreatePairsOff[bool] = False
    """Print a JSON list with one object per image, instead of a table."""

    save_overlay: Path | None = None
    """Folder to write one picture per image to: query, render at the estimated pose, difference."""


def run(arguments: Arguments) -> int:
    """Localize every image; one that cannot be read is reported and does not stop the others."""
    if not arguments.images:
        raise CaldiffError('no image was given, expected at least one after the map')
    if arguments.save_overlay:
        arguments.save_overlay.mkdir(parents=True, exist_ok=True)

    mask = None if arguments.mask is None else read_mask(arguments.mask)
    calibration = None if arguments.camera is None else read_calibration(arguments.camera)
    loaded, localizer = arguments.load(mask)
    answers = []
    noted: set[str] = set()

    for number, path in enumerate(arguments.images):
        try:
            given = loaded.camera
            if calibration is not None:
                given = read_camera(calibration, path, 'the calibration')
            image = read_image(path, loaded.background, shows_upright(path, given))
            camera = fitted_camera(given, image, path)
            note = loaded.view_note(camera)
            if note and note not in noted:
                logger.warning('%s', note)
                noted.add(note)
            answer = localizer.localize(image, camera)

            if arguments.save_overlay:
                name = f'{number:03d}_{path.stem}.png'
                _save_overlay(
                    arguments.save_overlay / name, localizer, image, camera=camera, answer=answer
                )
        except CaldiffError as error:
            answer = Answer(Status.FAILED, str(error))

        answers.append((path, answer))

    _print_json(answers) if arguments.json else _print_table(answers, loaded.unit)
    failures = [answer for _, answer in answers if answer.status == Status.FAILED]
    for answer in failures:
        print(f'caldiff localize: {answer.message}', file=sys.stderr)

    return 2 if failures else 0


def _save_overlay(
    path: Path, localizer: Localizer, image: np.ndarray, camera: Camera, answer: Answer
) -> None:
    if answer.T_map_cam is None:
        return

    query, _ = localizer.map.view(image, camera)
    text = f'{answer.status.name}, confidence {answer.confidence:.2f}'
    picture = draw_overlay(query, localizer.map.render(answer.T_map_cam), text)
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise CaldiffError(f'{path} cannot be written; give another --save-overlay folder')


def _print_json(answers: list[tuple[Path, Answer]]) -> None:
    """One object per line, in a list."""
    objects = [json.dumps(_as_object(path, answer), allow_nan=False) for path, answer in answers]
    print('[' + ',\n '.join(objects) + ']')


def _as_object(path: Path, answer: Answer) -> dict:
    error = answer.photometric_error
    return {
        'image': str(path),
        'status': answer.status.name,
        'message': answer.message,
        'confidence': answer.confidence,
        'T_map_cam': None if answer.T_map_cam is None else answer.T_map_cam.tolist(),
        'photometric_error': error if math.isfinite(error) else None,
        'seconds': answer.seconds,
    }


def _print_table(answers: list[tuple[Path, Answer]], unit: float) -> None:
    """Positions to a thousandth of a map of size ``unit``, wherever its origin is."""
    decimals = max(0, 3 - math.floor(math.log10(unit)))
    console = plain_console()
    table = Table('image', 'status', 'conf.', 'x y z', 'rotation x y z w', 's', box=SIMPLE_HEAD)

    for path, answer in answers:
        position, rotation = _pose_as_text(answer.T_map_cam, decimals)
        confidence = f'{answer.confidence:.2f}'
        seconds = f'{answer.seconds:.1f}'
        table.add_row(path.name, answer.status.name, confidence, position, rotation, seconds)

    console.print(table)
    for path, answer in answers:
        if answer.status == Status.NOT_LOCALIZED:
            console.print(f'{path.name}: {answer.message}', soft_wrap=True)


def _pose_as_text(T_map_cam: np.ndarray | None, decimals: int) -> tuple[str, str]:
    if T_map_cam is None:
        return '-', '-'

    w, *xyz = Pose.from_matrix(T_map_cam).quaternion_wxyz().tolist()
    position = ' '.join(f'{value:.{decimals}f}' for value in T_map_cam[:3, 3])
    return position, ' '.join(f'{value:.3f}' for value in (*xyz, w))
