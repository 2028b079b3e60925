# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Options of a map built from a splat."""

from __future__ import annotations

import json
import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caldiff_ros.cli.options import Options
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.mapping.adopted_splat import SplatSource
from caldiff_ros.mapping.splatfacto_run import read_splatfacto_run
from caldiff_ros.scenes.calibration import read_calibration
from caldiff_ros.scenes.intrinsics import read_camera
from caldiff_ros.splats.cleaning import cleaned
from caldiff_ros.splats.reading import read_splat
from caldiff_ros.splats.splat import Splat

logger = logging.getLogger(__name__)

#: Horizontal field of view of a camera of which nothing is known.
_USUAL_FOV_DEG = 60.0


@dataclass(frozen=True, kw_only=True)
class SplatOptions(Options):
    """A splat trained elsewhere, and what is known about it."""

    splat: Path | None = None
    """Splat to build the map from: a .ply, .spz or .splat file, or the config.yml of a splatfacto
    run. DATA are photographs of the place with poses in the frame of the splat, such as its
    training images, or the cameras.json, transforms.json or COLMAP model of these alone. Without
    photographs, only renders of the splat are used."""

    trained_at: str | None = None
    """Size of the images that the splat was trained on, WIDTHxHEIGHT, or their focal length in
    pixels. Default: the size that fits the photographs best."""

    transform: str | None = None
    """Similarity (rotation, uniform scale, translation) from the frame of the splat to that of DATA
    or, without DATA, of the map: 16 numbers in row-major order, or a file with them."""

    scale_points: tuple[float, float, float, float, float, float] | None = None
    """Two points of known distance, X Y Z X Y Z, in the frame of the splat before --transform, such
    as a viewer shows them. Needs --scale-distance; the map is then in metres."""

    scale_distance: float | None = None
    """Distance in metres of the points of --scale-points."""

    camera_fov: float | None = None
    """Without DATA: horizontal field of view, in degrees, of the cameras to be localized, whose
    images are 4:3. Of a wider image only the middle is used. Default: 60."""

    camera_info: str | None = None
    """Without DATA: calibration of the cameras to be localized, better than --camera-fov:
    fx,fy,cx,cy in pixels, a camera_info .yaml file of ROS, or a .json file with the keys of
    nerfstudio."""

    def camera(self) -> Camera:
        """The camera to be localized, without distortion, as far as it is known.

        Raises:
            CaldiffError: if it is none, or given twice.
        """
        if self.camera_info is not None:
            if self.camera_fov is not None:
                raise CaldiffError(
                    f'--camera-info {self.camera_info} and --camera-fov {self.camera_fov:g} are '
                    'given, expected one of them; omit the latter'
                )
            return _calibrated(self.camera_info)
        if self.camera_fov is None:
            logger.warning(
                'the cameras to be localized are unknown, assuming a horizontal field of view of '
                '%.0f deg; give --camera-info or --camera-fov',
                _USUAL_FOV_DEG,
            )
            return camera_of(_USUAL_FOV_DEG)
        if not 1 <= self.camera_fov <= 150:
            raise CaldiffError(
                f'--camera-fov is {self.camera_fov}, expected the horizontal field of view of a '
                'pinhole camera, 1 to 150 degrees; correct it'
            )
        return camera_of(self.camera_fov)

    def read(self, data: Path | None) -> Splat:
        """The splat without what is broken, in the frame of the training poses.

        Args:
            data: the dataset of a splatfacto run, where it is not at the place that the run names.

        Raises:
            CaldiffError: if it cannot be used.
        """
        path = self.splat
        if path is None:
            raise CaldiffError('no splat is given, expected a file; give --splat')
        is_run = path.is_dir() or path.suffix in ('.yml', '.yaml')
        splat, counts = cleaned(read_splatfacto_run(path, data) if is_run else read_splat(path))
        if counts.total:
            logger.info('%s: %s', path.name, counts)
        return splat if self.transform is None else splat.transformed(_matrix(self.transform))

    def metres_per_unit(self) -> float | None:
        """The scale of the training poses by two points of known distance, if they are given.

        Raises:
            CaldiffError: if it does not follow from them.
        """
        points, metres = self.scale_points, self.scale_distance
        if points is None and metres is None:
            return None
        if points is None or metres is None:
            given, missing = '--scale-distance', '--scale-points'
            if metres is None:
                given, missing = missing, given
            raise CaldiffError(
                f'{given} is given without {missing}, expected two points and their distance; give '
                'both'
            )
        if not 0 < metres < math.inf:
            raise CaldiffError(
                f'--scale-distance is {metres}, expected metres, a positive number; correct it'
            )

        between = np.array(points[3:]) - np.array(points[:3])
        if self.transform is not None:
            between = _matrix(self.transform)[:3, :3] @ between
        length = float(np.linalg.norm(between))
        if not 0 < length < math.inf:
            said = ' '.join(f'{number:g}' for number in points)
            raise CaldiffError(
                f'the points of --scale-points {said} are {length:g} apart, expected two different '
                'ones; correct them'
            )
        return metres / length

    def source(self, splat: Splat, camera: Camera) -> SplatSource:
        """The splat with its size, where that is known.

        Args:
            splat: from `read`.
            camera: of the photographs, as they are on disk.

        Raises:
            CaldiffError: if ``--trained-at`` is not understood.
        """
        name = '' if self.splat is None else self.splat.name
        focal_px = None if self.trained_at is None else _focal_px(self.trained_at, camera)
        return SplatSource(name=name, splat=splat, focal_px=focal_px)


def camera_of(fov_deg: float) -> Camera:
    """A camera of some size, 4:3, with a horizontal field of view."""
    width, height = 640, 480
    focal_px = width / 2 / math.tan(math.radians(fov_deg) / 2)
    return Camera(width, height, focal_px, focal_px, width / 2, height / 2)


def _calibrated(given: str) -> Camera:
    """A camera from ``--camera-info``, without distortion.

    Without a size, its principal point is taken for the middle of the images.
    """
    content = {key: value for key, value in read_calibration(given).items() if value is not None}
    where = f'--camera-info {given}'
    if not {'w', 'h'} <= content.keys():
        try:
            size = {'w': 2 * float(content['cx']), 'h': 2 * float(content['cy'])}
        except (KeyError, TypeError, ValueError) as error:
            raise CaldiffError(
                f'{where} has neither w and h nor numbers cx and cy, expected the size of the '
                'images or their middle; add them'
            ) from error
        content |= size
    return read_camera(content, Path(given), where).pinhole()


def _focal_px(trained_at: str, camera: Camera) -> float:
    """The focal length of ``--trained-at``, of images with the field of view of a camera."""
    size = re.fullmatch(r'(\d+)x(\d+)', trained_at)
    try:
        longer = max(map(int, size.groups())) if size else 0
        focal_px = longer * camera.fx / max(camera.width, camera.height) or float(trained_at)
    except ValueError:
        focal_px = math.nan

    if not 0 < focal_px < math.inf:
        raise CaldiffError(
            f'--trained-at is {trained_at!r}, expected the size of the images that the splat was '
            'trained on, such as 1600x1200, or their focal length in pixels; correct it'
        )
    return focal_px


def _matrix(given: str) -> np.ndarray:
    """The matrix (4, 4) of ``--transform``."""
    path = Path(given)
    try:
        text = path.read_text() if path.is_file() else given
        numbers = json.loads(text) if text.lstrip().startswith('[') else _split(text)
        matrix = np.array(numbers, np.float64).reshape(4, 4)
    except (OSError, ValueError, TypeError) as error:
        raise CaldiffError(
            f'--transform is {given!r}, expected 16 numbers in row-major order, or a file with '
            f'them ({error}); correct it'
        ) from error

    return matrix


def _split(text: str) -> list[float]:
    return [float(number) for number in text.replace(',', ' ').split()]
