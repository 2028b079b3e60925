# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Distortion models under the names that calibrations and drivers give them."""

from __future__ import annotations

from collections.abc import Sequence

from caldiff_ros.geometry.camera import DISTORTION_COEFFICIENTS

#: Names of OpenCV's models, in small letters without what stands between them.
_PERSPECTIVE_NAMES = ('', 'plumbbob', 'rationalpolynomial', 'thinprism', 'tilted', 'brownconrady')
_FISHEYE_NAMES = ('equidistant', 'fisheye', 'kannalabrandt', 'kannalabrandt4')


def named_distortion(name: str, coefficients: Sequence[float]) -> tuple[str, tuple[float, ...]]:
    """Model and coefficients; zeros that drivers append are dropped, no coefficients are none.

    The perspective models are distinguished by the number of coefficients, as in OpenCV: drivers
    use various names for them, or none.

    Args:
        name: as sensor_msgs/CameraInfo or a calibration file has it.
        coefficients: in the order of OpenCV.

    Returns:
        What `Camera` takes; it refuses a name that is not known.
    """
    plain = ''.join(letter for letter in name.lower() if letter.isalnum())
    given = tuple(float(value) for value in coefficients)

    if plain in _FISHEYE_NAMES:
        (count,) = DISTORTION_COEFFICIENTS['equidistant']
        excess = given[count:]
        # without any coefficient it still bends directions, unlike the others
        return 'equidistant', (given or (0.0,) * count)[: None if any(excess) else count]

    if not any(given):
        return 'none', ()

    return _perspective(given) if plain in _PERSPECTIVE_NAMES else (name, given)


def _perspective(coefficients: tuple[float, ...]) -> tuple[str, tuple[float, ...]]:
    """The smallest of OpenCV's perspective models that has the coefficients."""
    n_used = 1 + max(i for i, value in enumerate(coefficients) if value)
    for model in ('plumb_bob', 'rational_polynomial'):
        for count in DISTORTION_COEFFICIENTS[model]:
            if n_used <= count <= len(coefficients):
                return model, coefficients[:count]

    return 'rational_polynomial', coefficients
