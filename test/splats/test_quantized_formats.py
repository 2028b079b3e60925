# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Formats of few bits, against values worked out by hand."""

import gzip
import struct

import numpy as np
import pytest
from splat_files import ply_bytes

from caldiff_ros.splats.reading import read_splat

SH0 = 1 / (2 * np.pi**0.5)
#: Bits of an .spz quaternion whose largest number is w: x is 0, y negative.
SMALLEST_THREE = struct.pack('<I', 3 << 30 | 0 << 20 | (1 << 9 | 100) << 10 | 361)
Y, Z = -100 / 511 / 2**0.5, 361 / 511 / 2**0.5


def spz_sections(version):
    """Positions, opacities, colours, scales, rotations and harmonics of one Gaussian."""
    # 1.5, -0.25 and 0 with 12 bits for the fraction are 0x001800, 0xfffc00 and 0
    fixed = bytes([0x00, 0x18, 0x00, 0x00, 0xFC, 0xFF, 0, 0, 0])
    return [
        np.array([1.5, -0.25, 0], np.float16).tobytes() if version == 1 else fixed,
        bytes([128]),
        bytes([255, 0, 191]),
        bytes([0, 160, 255]),
        bytes([204, 128, 0]) if version < 3 else SMALLEST_THREE,
        bytes([192, 128, 0, 129, 1, 255, 64, 96, 128]),
    ]


def spz_bytes(version, flags=0, degree=1):
    sections = spz_sections(version)[: None if degree else -1]
    header = struct.pack('<4sIIBBB', b'NGSP', version, 1, degree, 12, flags)
    if version < 4:
        return gzip.compress(header + b'\0' + b''.join(sections))

    zstandard = pytest.importorskip('zstandard')
    packed = [zstandard.ZstdCompressor().compress(section) for section in sections]
    sizes = [struct.pack('<QQ', len(p), len(s)) for p, s in zip(packed, sections, strict=True)]
    # eight bytes of an extension come before the table
    plain = header + bytes([len(sections)]) + struct.pack('<I', 40) + bytes(12) + bytes(8)
    return plain + b''.join(sizes) + b''.join(packed)


@pytest.mark.parametrize('version', [1, 2, 3, 4])
@pytest.mark.parametrize('degree', [0, 1])
def test_spz(tmp_path, version, degree):
    (tmp_path / 'scene.spz').write_bytes(spz_bytes(version, degree=degree))
    splat = read_splat(tmp_path / 'scene.spz')
    np.testing.assert_array_equal(splat.means, [[1.5, -0.25, 0]])
    np.testing.assert_allclose(splat.logits, [np.log(128 / 127)], rtol=1e-5)
    np.testing.assert_array_equal(splat.log_scales, [[-10, 0, 5.9375]])
    constant = [0.5 / 0.15, -0.5 / 0.15, (191 / 255 - 0.5) / 0.15]
    np.testing.assert_allclose(splat.harmonics[0, 0], constant, rtol=1e-5)
    if degree:
        # a coefficient's three colours are together
        expected = np.array([[64, 0, -128], [1, -127, 127], [-64, -32, 0]]) / 128
        np.testing.assert_array_equal(splat.harmonics[0, 1:], expected)
    if version < 3:
        x, y = 204 / 127.5 - 1, 128 / 127.5 - 1
        expected = np.array([0, x, y, -1]) / np.linalg.norm([x, y, 1])  # nothing is left for w
    else:
        expected = [(1 - Y**2 - Z**2) ** 0.5, 0, Y, Z]
    np.testing.assert_allclose(splat.quaternions, [expected], atol=1e-6)
    assert splat.sh_degree == degree
    assert splat.antialiased is None


def test_w_of_an_old_spz_is_what_is_left_to_norm_one(tmp_path):
    content = bytearray(gzip.decompress(spz_bytes(2)))
    content[16 + 9 + 1 + 3 + 3 : 16 + 9 + 1 + 3 + 3 + 3] = bytes([204, 51, 102])
    (tmp_path / 'scene.spz').write_bytes(gzip.compress(bytes(content)))
    quaternion = read_splat(tmp_path / 'scene.spz').quaternions[0]
    np.testing.assert_allclose(quaternion, [0.24**0.5, 0.6, -0.6, -0.2], atol=1e-6)


def test_spz_tells_that_it_is_antialiased(tmp_path):
    (tmp_path / 'scene.spz').write_bytes(spz_bytes(3, flags=1))
    assert read_splat(tmp_path / 'scene.spz').antialiased is True


@pytest.mark.parametrize('largest', range(4))
def test_any_number_of_a_quaternion_may_be_the_largest(tmp_path, largest):
    content = bytearray(gzip.decompress(spz_bytes(3)))
    word = largest << 30 | 51 << 20 | (1 << 9 | 102) << 10 | 153
    content[16 + 9 + 1 + 3 + 3 : 16 + 9 + 1 + 3 + 3 + 4] = struct.pack('<I', word)
    (tmp_path / 'scene.spz').write_bytes(gzip.compress(bytes(content)))
    others = np.array([51, -102, 153]) / 511 / 2**0.5
    xyzw = np.insert(others, largest, (1 - (others**2).sum()) ** 0.5)
    quaternion = read_splat(tmp_path / 'scene.spz').quaternions[0]
    np.testing.assert_allclose(quaternion, xyzw[[3, 0, 1, 2]], atol=1e-6)


AXES = ('x', 'y', 'z', 'scale_x', 'scale_y', 'scale_z', 'r', 'g', 'b')
WORDS = ('packed_position', 'packed_rotation', 'packed_scale', 'packed_color')


def compressed_bytes(colors=True, n=2, sh=None):
    """Gaussians in chunks whose ranges are [k, k + 1, ...] to twice that, k their number."""
    axes = AXES if colors else AXES[:6]
    chunk_properties = [('float', f'{end}_{axis}') for end in ('min', 'max') for axis in axes]
    chunks = [
        [float(k + i) for i in range(len(axes))] + [2.0 * (k + i) for i in range(len(axes))]
        for k in range(1, 2 + (n - 1) // 256)
    ]
    row = [
        2047 << 21 | 0 << 11 | 1023,
        2 << 30 | 1023 << 20 | 0 << 10 | 512,
        0 << 21 | 1023 << 11 | 2047,
        255 << 24 | 0 << 16 | 51 << 8 | 204,
    ]
    elements = {
        'chunk': (chunk_properties, chunks),
        'vertex': ([('uint', name) for name in WORDS], [row] * n),
    }
    if sh is not None:
        properties = [('uchar', f'f_rest_{i}') for i in range(len(sh))]
        elements['sh'] = (properties, [sh] * n)
    return ply_bytes(elements)


def test_compressed_ply(tmp_path):
    (tmp_path / 'scene.compressed.ply').write_bytes(compressed_bytes(n=300))
    splat = read_splat(tmp_path / 'scene.compressed.ply')
    assert len(splat) == 300
    for number, k in ((0, 1), (255, 1), (256, 2), (299, 2)):
        # from k, k + 1, k + 2 to twice that: all the way, not at all, 1023 of 2047 steps
        expected = [2 * k, k + 1, (k + 2) * (1 + 1023 / 2047)]
        np.testing.assert_allclose(splat.means[number], expected, rtol=1e-6)
        expected = [k + 3, 2 * (k + 4), 2 * (k + 5)]
        np.testing.assert_allclose(splat.log_scales[number], expected, rtol=1e-6)
        color = np.array([2 * (k + 6), k + 7, 1.2 * (k + 8)])
        np.testing.assert_allclose(splat.harmonics[number], [(color - 0.5) / SH0], rtol=1e-5)
    np.testing.assert_allclose(splat.logits, np.log(204 / 51), rtol=1e-5)
    assert splat.sh_degree == 0


def test_quaternions_of_compressed_ply(tmp_path):
    (tmp_path / 'scene.ply').write_bytes(compressed_bytes())
    # the third number, y, is the largest; the others are 1, 0 and 512 of 1023 steps from
    # -1 / sqrt 2 to 1 / sqrt 2, so that nothing is left for y
    others = (np.array([1, 0, 512 / 1023]) - 0.5) * 2**0.5
    expected = np.insert(others, 2, 0)
    quaternion = read_splat(tmp_path / 'scene.ply').quaternions[0]
    np.testing.assert_allclose(quaternion, expected / np.linalg.norm(expected), atol=1e-6)


def test_compressed_ply_without_ranges_of_colors(tmp_path):
    (tmp_path / 'scene.ply').write_bytes(compressed_bytes(colors=False))
    expected = (np.array([1, 0, 0.2]) - 0.5) / SH0
    harmonics = read_splat(tmp_path / 'scene.ply').harmonics
    np.testing.assert_allclose(harmonics, [[expected]] * 2, rtol=1e-5)


def test_compressed_ply_without_harmonics_as_gsplat_writes_it(tmp_path):
    (tmp_path / 'scene.ply').write_bytes(compressed_bytes(sh=[]))
    assert read_splat(tmp_path / 'scene.ply').harmonics.shape == (2, 1, 3)


def test_harmonics_of_compressed_ply(tmp_path):
    (tmp_path / 'scene.ply').write_bytes(compressed_bytes(sh=[0, 255, 128, 127, 1, 2, 3, 4, 5]))
    harmonics = read_splat(tmp_path / 'scene.ply').harmonics[0]
    # red first; the ends are -4 and 4, the others the middles of 256 steps of 1 / 32
    np.testing.assert_allclose(harmonics[1:, 0], [-4, 4, 0.5 / 32], rtol=1e-6)
    np.testing.assert_allclose(harmonics[1, 1], -0.5 / 32, rtol=1e-6)
    np.testing.assert_allclose(harmonics[3, 2], 5.5 / 32 - 4, rtol=1e-6)


def antimatter_row(mean=(1.0, -2.0, 3.0)):
    scale, rgba, quaternion = (0.5, 1.0, 2.0), (255, 0, 51, 204), (218, 128, 218, 128)
    return struct.pack('<6f8B', *mean, *scale, *rgba, *quaternion)


@pytest.mark.parametrize('name', ['scene.splat', 'scene.bin'])
def test_antimatter(tmp_path, name):
    (tmp_path / name).write_bytes(antimatter_row() + antimatter_row((4.0, 5.0, 6.0)))
    splat = read_splat(tmp_path / name)
    np.testing.assert_array_equal(splat.means, [[1, -2, 3], [4, 5, 6]])
    np.testing.assert_allclose(splat.log_scales[0], np.log([0.5, 1, 2]), rtol=1e-6)
    np.testing.assert_allclose(splat.logits[0], np.log(204 / 51), rtol=1e-5)
    expected = (np.array([1, 0, 0.2]) - 0.5) / SH0
    np.testing.assert_allclose(splat.harmonics[1], [expected], rtol=1e-5)
    np.testing.assert_allclose(splat.quaternions[0], [0.5**0.5, 0, 0.5**0.5, 0], atol=1e-6)
