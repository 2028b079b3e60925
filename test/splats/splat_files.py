# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Splats and files of them, written down byte by byte, and what a splat shows."""

from __future__ import annotations

import struct

import numpy as np
import torch
from blobs import CAMERA, ring

from caldiff_ros.nerf.gpu_splatting import GaussianTensors, SplatCamera
from caldiff_ros.nerf.splatting import splat as rendered
from caldiff_ros.splats.splat import Splat

_CODES = {'float': 'f', 'double': 'd', 'uchar': 'B', 'uint': 'I', 'int': 'i'}


def ply_bytes(elements, form='binary_little_endian', comments=()):
    """A .ply of elements, {name: (properties as (type, name), rows)}."""
    lines = ['ply', f'format {form} 1.0', *(f'comment {text}' for text in comments)]
    body = []
    for element, (properties, rows) in elements.items():
        lines.append(f'element {element} {len(rows)}')
        lines += [f'property {kind} {name}' for kind, name in properties]
        for row in rows:
            if form == 'ascii':
                body.append(' '.join(map(str, row)).encode() + b'\n')
            else:
                order = '<' if form == 'binary_little_endian' else '>'
                codes = ''.join(_CODES[kind] for kind, _ in properties)
                body.append(struct.pack(order + codes, *row))
    return b''.join(['\n'.join([*lines, 'end_header', '']).encode(), *body])


#: One Gaussian of degree 1 in the order of INRIA, by name.
GAUSSIAN = {
    **{'x': 1.0, 'y': -2.0, 'z': 3.0, 'nx': 0.0, 'ny': 0.0, 'nz': 0.0},
    **{'f_dc_0': 0.5, 'f_dc_1': -0.25, 'f_dc_2': 1.5},
    **{f'f_rest_{i}': (i + 1) / 8 for i in range(9)},
    'opacity': 0.75,
    **{'scale_0': -3.0, 'scale_1': -4.0, 'scale_2': -5.0},
    **{'rot_0': 2.0, 'rot_1': 0.0, 'rot_2': 0.0, 'rot_3': -2.0},
}


def gaussian_ply(gaussian=GAUSSIAN, form='binary_little_endian', comments=(), kinds=None):
    properties = [((kinds or {}).get(name, 'float'), name) for name in gaussian]
    return ply_bytes({'vertex': (properties, [list(gaussian.values())])}, form, comments)


def check_gaussian(splat):
    """`splat` is `GAUSSIAN`."""
    assert len(splat) == 1
    assert splat.sh_degree == 1
    np.testing.assert_array_equal(splat.means, [[1, -2, 3]])
    np.testing.assert_array_equal(splat.log_scales, [[-3, -4, -5]])
    np.testing.assert_allclose(splat.quaternions, [[0.5**0.5, 0, 0, -(0.5**0.5)]], rtol=1e-6)
    np.testing.assert_array_equal(splat.logits, [0.75])
    # all of red come first in the file: 1, 2, 3, then green 4, 5, 6, then blue 7, 8, 9 eighths
    expected = [[0.5, -0.25, 1.5], [0.125, 0.5, 0.875], [0.25, 0.625, 1], [0.375, 0.75, 1.125]]
    np.testing.assert_array_equal(splat.harmonics, [expected])
    for values in (splat.means, splat.log_scales, splat.quaternions, splat.logits, splat.harmonics):
        assert values.dtype == np.float32


def some_splat(n=300, degree=3, seed=0, antialiased=None):
    """Gaussians around the origin that the ring of cameras sees."""
    rng = np.random.default_rng(seed)
    quaternions = rng.normal(size=(n, 4))
    values = (
        rng.uniform(-0.2, 0.2, (n, 3)),
        rng.uniform(-5, -3, (n, 3)),
        quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        rng.uniform(-2, 4, n),
        rng.normal(0, 0.3, (n, (degree + 1) ** 2, 3)),
    )
    return Splat(*(value.astype(np.float32) for value in values), antialiased)


def shown(splat, poses=None, camera=CAMERA, near=0.01):
    """Pixels (V, K, 5) that cameras see of a splat."""
    values = (splat.means, np.exp(splat.log_scales), splat.quaternions)
    values = (*values, 1 / (1 + np.exp(-splat.logits)), splat.harmonics)
    gaussians = GaussianTensors(*map(torch.from_numpy, values))
    return rendered(
        gaussians, ring(3) if poses is None else poses, SplatCamera(camera, near)
    ).numpy()
