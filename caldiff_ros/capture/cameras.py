# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The cameras of a capture: calibrated ones unchanged, others from the metadata of their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caldiff_ros.capture.config import EXTRA, Lens
from caldiff_ros.capture.pictures import Picture
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.packages import load_pycolmap
from caldiff_ros.scenes.images import same_aspect
from caldiff_ros.scenes.intrinsics import COLMAP_PARAMETERS, read_camera

#: Focal length in longer sides of the picture, where the camera did not write it.
_USUAL_FOCAL = 1.2
#: One focal length and radial coefficients: a second focal length and tangential coefficients are
#: not determined by a few small images, and bend the poses.
_ESTIMATED_MODELS: dict[Lens, str] = {'perspective': 'RADIAL', 'fisheye': 'OPENCV_FISHEYE'}
#: COLMAP's models that have the coefficients of ours, which are in the same order.
_MODELS = {
    ('none', 0): 'PINHOLE',
    ('plumb_bob', 4): 'OPENCV',
    ('plumb_bob', 5): 'FULL_OPENCV',
    ('rational_polynomial', 8): 'FULL_OPENCV',
    ('equidistant', 4): 'OPENCV_FISHEYE',
}


def calibrated_cameras(
    pictures: Sequence[Picture], calibration: Mapping[str, Any], images: Path
) -> dict[str, Camera]:
    """The cameras of pictures that were all taken with a calibrated one.

    Args:
        pictures: of any resolution.
        calibration: see `read_calibration`.
        images: folder of the pictures.

    Returns:
        By `Picture.camera`.

    Raises:
        CaldiffError: if a picture has another aspect than the calibration.
    """
    cameras: dict[str, Camera] = {}
    for picture in pictures:
        if picture.camera in cameras:
            continue

        camera = read_camera(calibration, images / picture.name, 'the calibration')
        if not same_aspect(camera, picture.width, picture.height):
            raise CaldiffError(
                f'{picture.name} is {picture.width}x{picture.height} pixels and the calibration of '
                f'{camera.width}x{camera.height}, expected the same aspect ratio; remove images of '
                'other cameras and rotated ones, or omit --camera'
            )
        cameras[picture.camera] = camera.resized(picture.width, picture.height)

    return cameras


def colmap_camera_of(picture: Picture, number: int, lens: Lens, known: Camera | None) -> Any:
    """COLMAP's camera of a picture, with a prior focal length if there is one.

    Args:
        picture: the first one that it took.
        number: of the camera.
        lens: how an unknown camera is modelled.
        known: its calibration, if it has one.
    """
    pycolmap = load_pycolmap(EXTRA)
    if known is not None:
        model = _MODELS[known.distortion_model, len(known.distortion)]
        pinhole = (known.fx, known.fy, known.cx, known.cy)
        missing = len(COLMAP_PARAMETERS[model]) - len(pinhole) - len(known.distortion)
        return pycolmap.Camera(
            camera_id=number,
            model=model,
            width=known.width,
            height=known.height,
            params=[*pinhole, *known.distortion, *(0.0,) * missing],
            has_prior_focal_length=True,
        )

    usual = _USUAL_FOCAL * max(picture.width, picture.height)
    camera = pycolmap.Camera.create_from_model_name(
        number, _ESTIMATED_MODELS[lens], picture.focal_px or usual,
        picture.width, picture.height,
    )  # fmt: skip
    camera.has_prior_focal_length = picture.focal_px is not None
    return camera
