# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The .ply of 3DGS, as INRIA's code, gsplat, nerfstudio, OpenSplat, Brush and others write it.

A Gaussian has the properties x, y, z; f_dc_0 to 2, the constant harmonic of red, green and blue;
f_rest_0 and on, the others, all of red first, then green, then blue; opacity, a logit; scale_0 to
2, natural logarithms; rot_0 to 3, a quaternion, w first. They are found by name, wherever they are,
and whatever else there is, such as normals, is ignored.
"""

from __future__ import annotations

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.nerf.splat_kernels import SH0
from caldiff_ros.splats.ply import PlyFile
from caldiff_ros.splats.splat import Splat

POSITION = ('x', 'y', 'z')
CONSTANT = ('f_dc_0', 'f_dc_1', 'f_dc_2')
SCALES = ('scale_0', 'scale_1', 'scale_2')
QUATERNION = ('rot_0', 'rot_1', 'rot_2', 'rot_3')
_COLOR = ('red', 'green', 'blue')
_GEOMETRY = (*POSITION, 'opacity', *SCALES, *QUATERNION)
#: Terms of harmonics of degree 0 to 4; those of degree 4 are left out.
_TERMS = (1, 4, 9, 16, 25)
_MOST_TERMS = 16


def read_gaussian_ply(ply: PlyFile) -> Splat:
    """The Gaussians of a file; colours without harmonics may be red, green and blue, 0 to 255.

    Raises:
        CaldiffError: if the file holds other things than Gaussians.
    """
    vertex = ply.elements.get('vertex')
    if vertex is None:
        raise CaldiffError(
            f'{ply.path} has no vertices, expected the Gaussians of a splat; export '
            'the splat itself'
        )

    names = vertex.types
    missing = [name for name in _GEOMETRY if name not in names]
    if not {*CONSTANT} <= names.keys() and not {*_COLOR} <= names.keys():
        missing.append(CONSTANT[0])
    if missing:
        what = 'a mesh' if ply.elements.get('face') else 'a cloud of points'
        what = 'not the usual kind of splat' if names.keys() & {'rot_0', 'scale_0'} else what
        raise CaldiffError(
            f'{ply.path} is {what}: it has no {missing[0]}, expected the properties of 3D '
            'Gaussians; export the splat itself'
        )

    K = terms_of(sum(name.startswith('f_rest_') for name in names), ply)
    splat = empty_splat(vertex.count, K, trained_antialiased(ply.comments))
    columns = [*_geometry_columns(splat), *rest_columns(splat, K)]
    for rows, block in ply.blocks('vertex'):
        for target, name in columns:
            target[rows] = block[name]
        for channel in range(3):
            if CONSTANT[channel] in names:
                splat.harmonics[rows, 0, channel] = block[CONSTANT[channel]]
            else:
                color = block[_COLOR[channel]] / 255.0
                splat.harmonics[rows, 0, channel] = (color - 0.5) / SH0

    return splat


def empty_splat(n: int, terms: int, antialiased: bool | None) -> Splat:
    """Room for n Gaussians.

    Args:
        n: how many.
        terms: of the harmonics, as the file has them.
        antialiased: see `Splat`.
    """
    return Splat(
        np.empty((n, 3), np.float32),
        np.empty((n, 3), np.float32),
        np.empty((n, 4), np.float32),
        np.empty(n, np.float32),
        np.empty((n, min(terms, _MOST_TERMS), 3), np.float32),
        antialiased,
    )


def terms_of(n_rest: int, ply: PlyFile) -> int:
    """Terms of the harmonics in a file with this many properties f_rest.

    Raises:
        CaldiffError: if no degree has as many.
    """
    terms = 1 + n_rest // 3
    if n_rest % 3 or terms not in _TERMS:
        raise CaldiffError(
            f'{ply.path} has {n_rest} properties f_rest, expected '
            f'{", ".join(str(3 * (K - 1)) for K in _TERMS)} for harmonics of degree 0 to 4; export '
            'it again'
        )

    return terms


def rest_columns(splat: Splat, terms: int) -> list[tuple[np.ndarray, str]]:
    """Where the properties f_rest of a file with this many terms belong."""
    K = splat.harmonics.shape[1]
    return [
        (splat.harmonics[:, k, channel], f'f_rest_{channel * (terms - 1) + k - 1}')
        for channel in range(3)
        for k in range(1, K)
    ]


def _geometry_columns(splat: Splat) -> list[tuple[np.ndarray, str]]:
    return [
        *zip(splat.means.T, POSITION, strict=True),
        *zip(splat.log_scales.T, SCALES, strict=True),
        *zip(splat.quaternions.T, QUATERNION, strict=True),
        (splat.logits, 'opacity'),
    ]


def trained_antialiased(comments: tuple[str, ...]) -> bool | None:
    """What Brush ('SplatRenderMode: mip') and Postshot ('antialiased 1') say in the header."""
    told = None
    for comment in comments:
        match comment.lower().split():
            case ['splatrendermode:', mode]:
                told = mode == 'mip'
            case ['antialiased', flag]:
                told = flag == '1'

    return told
