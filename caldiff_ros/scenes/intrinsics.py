# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Intrinsics as nerfstudio, instant-ngp, Blender and COLMAP write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.scenes.pixels import image_size

_DISTORTION_KEYS = ('k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'p1', 'p2')
_CAMERA_KEYS = (
    *('w', 'h', 'fl_x', 'fl_y', 'cx', 'cy', 'camera_angle_x', 'camera_angle_y'),
    *_DISTORTION_KEYS,
)

#: Parameters of the models of COLMAP that OpenCV can undistort, in COLMAP's order, by the keys of
#: nerfstudio; 'f' is both focal lengths.
COLMAP_PARAMETERS = {
    'SIMPLE_PINHOLE': ('f', 'cx', 'cy'),
    'PINHOLE': ('fl_x', 'fl_y', 'cx', 'cy'),
    'SIMPLE_RADIAL': ('f', 'cx', 'cy', 'k1'),
    'RADIAL': ('f', 'cx', 'cy', 'k1', 'k2'),
    'OPENCV': ('fl_x', 'fl_y', 'cx', 'cy', 'k1', 'k2', 'p1', 'p2'),
    'FULL_OPENCV': (
        *('fl_x', 'fl_y', 'cx', 'cy', 'k1', 'k2', 'p1', 'p2'),
        *('k3', 'k4', 'k5', 'k6'),
    ),
    'OPENCV_FISHEYE': ('fl_x', 'fl_y', 'cx', 'cy', 'k1', 'k2', 'k3', 'k4'),
    'SIMPLE_RADIAL_FISHEYE': ('f', 'cx', 'cy', 'k1'),
    'RADIAL_FISHEYE': ('f', 'cx', 'cy', 'k1', 'k2'),
    'SIMPLE_FISHEYE': ('f', 'cx', 'cy'),
    'FISHEYE': ('fl_x', 'fl_y', 'cx', 'cy'),
}
#: For models of COLMAP, the name and the coefficients, in order, of what they are to OpenCV.
_COEFFICIENTS: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    (
        tuple(model for model in COLMAP_PARAMETERS if model.endswith('FISHEYE')),
        'equidistant',
        ('k1', 'k2', 'k3', 'k4'),
    ),
    (
        ('FULL_OPENCV',),
        'rational_polynomial',
        ('k1', 'k2', 'p1', 'p2', 'k3', 'k4', 'k5', 'k6'),
    ),
    (tuple(COLMAP_PARAMETERS), 'plumb_bob', ('k1', 'k2', 'p1', 'p2', 'k3')),
)
#: Keys of instant-ngp for lenses that are none of these.
_OTHER_LENSES = ('ftheta_p0', 'latlong', 'equirectangular', 'orthographic')


def read_camera(content: Mapping[str, object], image_path: Path, where: str) -> Camera:
    """Camera from the keys of nerfstudio and Blender: fl_x, cx, w, k1, camera_angle_x, ...

    Args:
        content: the keys of the frame over those of the file; null counts as absent.
        image_path: the image, whose size is used where the numbers lack it.
        where: the file, for messages.

    Raises:
        CaldiffError: if something is missing, is no number, or is of a lens that OpenCV does not
            have.
    """
    model = _model(content, where)
    try:
        numbers = {
            key: float(value)  # type: ignore[arg-type]  # what cannot be converted is refused
            for key, value in content.items()
            if key in _CAMERA_KEYS and value is not None
        }
        size = (int(numbers['w']), int(numbers['h'])) if {'w', 'h'} <= numbers.keys() else None
    except (TypeError, ValueError, OverflowError) as error:
        raise CaldiffError(
            f'the intrinsics in {where} are not numbers ({error}); repair the file'
        ) from error

    width, height = size or image_size(image_path, upright=True)

    return _camera(model, width, height, numbers, where)


def colmap_camera(
    model: str, width: int, height: int, parameters: Sequence[float], where: str
) -> Camera:
    """Camera from the parameters of a model of COLMAP, in COLMAP's order.

    Raises:
        CaldiffError: if OpenCV does not have the model.
    """
    names = COLMAP_PARAMETERS.get(model)
    if names is None:
        raise _unknown_model(model, where)
    if len(parameters) != len(names):
        raise CaldiffError(
            f'{where} has {len(parameters)} parameters for the model {model}, expected '
            f'{len(names)}; export the model again'
        )

    numbers = dict(zip(names, parameters, strict=True))
    if 'f' in numbers:
        numbers['fl_x'] = numbers['fl_y'] = numbers.pop('f')

    return _camera(model, width, height, numbers, where)


def _model(content: Mapping[str, object], where: str) -> str:
    """The name of the model, as COLMAP calls it."""
    other = next((key for key in _OTHER_LENSES if content.get(key)), None)
    if other is not None:
        raise _unknown_model(other, where)

    model = str(content.get('camera_model') or 'OPENCV')
    # the flag of instant-ngp, which names no models
    return 'OPENCV_FISHEYE' if content.get('is_fisheye') and model == 'OPENCV' else model


def _unknown_model(model: str, where: str) -> CaldiffError:
    return CaldiffError(
        f'the camera model {model!r} in {where} is not supported, expected one of '
        f'{", ".join(COLMAP_PARAMETERS)}; undistort the images first'
    )


def _camera(
    model: str, width: int, height: int, numbers: Mapping[str, float], where: str
) -> Camera:
    fx, fy = _focal_lengths(numbers, width, height, where)
    distortion_model, distortion = _distortion(model, numbers, where)

    return Camera(
        width,
        height,
        fx,
        fy=fy,
        cx=numbers.get('cx', width / 2),
        cy=numbers.get('cy', height / 2),
        distortion_model=distortion_model,
        distortion=distortion,
    )


def _focal_lengths(
    numbers: Mapping[str, float], width: int, height: int, where: str
) -> tuple[float, float]:
    def from_angle(key: str, extent: int) -> float | None:
        return extent / 2 / math.tan(numbers[key] / 2) if numbers.get(key) else None

    fx = numbers.get('fl_x') or from_angle('camera_angle_x', width)
    fy = numbers.get('fl_y') or from_angle('camera_angle_y', height) or fx

    if fx is None or fy is None:
        raise CaldiffError(
            f'{where} has neither fl_x nor camera_angle_x, expected one of them; add the focal '
            'length in pixels'
        )

    return fx, fy


def _distortion(
    model: str, numbers: Mapping[str, float], where: str
) -> tuple[str, tuple[float, ...]]:
    """Our name of the model and its coefficients in the order of OpenCV."""
    if model not in COLMAP_PARAMETERS:
        raise _unknown_model(model, where)

    ours, accepted = next((ours, keys) for models, ours, keys in _COEFFICIENTS if model in models)
    foreign = [k for k in _DISTORTION_KEYS if numbers.get(k) and k not in accepted]
    if foreign:
        raise CaldiffError(
            f'camera_model {model!r} in {where} comes with {foreign[0]} = {numbers[foreign[0]]}, '
            f'expected no other coefficients than {", ".join(accepted)}; correct the model or '
            'undistort the images first'
        )

    coefficients = tuple(numbers.get(key, 0.0) for key in accepted)
    is_none = ours != 'equidistant' and not any(coefficients)
    return ('none', ()) if is_none else (ours, coefficients)
