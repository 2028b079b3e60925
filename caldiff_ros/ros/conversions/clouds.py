# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Coloured points as sensor_msgs/PointCloud2."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

#: As RViz and PCL expect it: three coordinates, and red, green and blue in the bytes of a float.
_FIELDS = {'x': 0, 'y': 4, 'z': 8, 'rgb': 12}
_POINT_STEP = 16
#: Coordinates of a cloud may be off by this share of its extent, by which no eye sees them move.
_MAX_STEP = 1e-4


def cloud_origin(points: np.ndarray) -> np.ndarray:
    """What to subtract from points (N, 3) so that the message holds them finely: (3,), whole units.

    Zero where single precision is enough as they are. It is not for a map in national coordinates,
    whose northings of millions of metres come in steps of half a metre.
    """
    if len(points) == 0:
        return np.zeros(3)

    low, high = points.min(axis=0), points.max(axis=0)
    step = np.spacing(np.float32(np.abs([low, high]).max()))
    if step <= _MAX_STEP * (high - low).max():
        return np.zeros(3)

    return np.round((low + high) / 2)


def cloud_msg(points: np.ndarray, rgb: np.ndarray, header: Header) -> PointCloud2:
    """The message of points (N, 3) with colours uint8 (N, 3)."""
    packed = np.zeros((len(points), 4), '<f4')
    packed[:, :3] = points
    red, green, blue = rgb.astype('<u4').T
    packed[:, 3] = (red << 16 | green << 8 | blue).astype('<u4').view('<f4')

    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=[
            PointField(name=name, offset=offset, datatype=PointField.FLOAT32, count=1)
            for name, offset in _FIELDS.items()
        ],
        is_bigendian=False,
        point_step=_POINT_STEP,
        row_step=_POINT_STEP * len(points),
        data=packed.tobytes(),
        is_dense=True,
    )
