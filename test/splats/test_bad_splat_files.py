# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a file is said in one sentence."""

import gzip
import itertools
import struct

import pytest
from splat_files import GAUSSIAN, gaussian_ply, ply_bytes, some_splat
from test_quantized_formats import antimatter_row, compressed_bytes, spz_bytes

from caldiff_ros.errors import CaldiffError
from caldiff_ros.splats.reading import read_splat
from caldiff_ros.splats.writing import write_splat

POINTS = [('float', name) for name in ('x', 'y', 'z')]
MESH = b"""ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
element face 1
property list uchar int vertex_indices
end_header
0 0 0
1 0 0
0 1 0
3 0 1 2
"""
FUTURE = struct.pack('<4sIIBBBB', b'NGSP', 5, 1, 0, 12, 0, 5) + bytes(100)


def without(*names):
    return gaussian_ply({name: value for name, value in GAUSSIAN.items() if name not in names})


def spz_changed(position, value, version=2):
    content = bytearray(gzip.decompress(spz_bytes(version)))
    content[position] = value
    return gzip.compress(bytes(content))


@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        (ply_bytes({'vertex': (POINTS, [[0, 0, 0]])}), 'is a cloud of points: it has no opacity'),
        (MESH, 'is a mesh: it has no opacity'),
        (ply_bytes({'face': ([('int', 'n')], [[0]])}), 'has no vertices'),
        (without('scale_2'), 'is not the usual kind of splat: it has no scale_2'),
        (without('f_dc_1'), 'it has no f_dc_0'),
        (without('f_rest_8'), 'has 8 properties f_rest, expected 0, 9, 24, 45, 72'),
        (without('f_rest_0').replace(b'f_rest_8', b'f_rest_9'), 'has 8 properties f_rest'),
        (gaussian_ply()[:-1], 'ends or is damaged before the rows end'),
        (gaussian_ply(form='ascii').replace(b'-2.0', b'what', 1), 'ends or is damaged before'),
        (gaussian_ply(form='ascii')[:-40], 'ends or is damaged before'),
        (gaussian_ply().replace(b'vertex 1', b'vertex 9999999999'), 'ends or is damaged before'),
        (gaussian_ply()[:300], 'is damaged .it has no end'),
        (gaussian_ply().replace(b'float x', b'quad x'), "is damaged .'quad'"),
        (gaussian_ply().replace(b'vertex 1', b'vertex -1'), 'is damaged .it has -1 rows'),
        (gaussian_ply().replace(b'float nx', b'float x'), 'is damaged .x is there twice'),
        (gaussian_ply().replace(b'little', b'middle'), "its format is 'binary_middle_endian'"),
        (gaussian_ply().replace(b'vertex 1', b'vertex 0'), 'holds no Gaussians'),
        (compressed_bytes().replace(b'chunk 1', b'chunk 0'), 'has not 1 rows of "chunk"'),
        (compressed_bytes().replace(b'max_scale_z', b'max_scale_w'), 'has not 1 rows of "chunk"'),
        (compressed_bytes()[:-1], 'ends or is damaged before'),
        (FUTURE, 'is of version 5 of .spz, expected 1 to 4'),
        (gzip.compress(FUTURE), 'is of version 5 of .spz, expected 1 to 4'),
        (spz_bytes(2)[:-12], 'is damaged or ends early'),
        (gzip.compress(gzip.decompress(spz_bytes(2))[:-1]), 'is damaged or ends early'),
        (spz_changed(12, 5), 'is damaged or ends early'),
        (spz_changed(8, 255), 'is damaged or ends early'),
        (spz_changed(8, 0), 'holds no Gaussians'),
        (b'NGSP', 'is damaged or ends early'),
        (gzip.compress(b'other things'), 'is not a known splat format'),
        (b'PK\x03\x04' + bytes(60), 'is not a known splat format'),
        (b'{"frames": [1, 2, 3, 4], "w": 6}', 'is not a known splat format'),  # 32 bytes
        (b'', 'is not a known splat format'),
    ],
    ids=itertools.count(),
)
def test_bad_files(tmp_path, content, sentence):
    path = tmp_path / 'scene'
    path.write_bytes(content)
    with pytest.raises(CaldiffError, match=sentence) as info:
        read_splat(path)
    assert str(path) in str(info.value)
    assert '\n' not in str(info.value)


@pytest.mark.parametrize('cut', [20, 45, 130, -1])
def test_cut_spz_of_version_4(tmp_path, cut):
    path = tmp_path / 'scene.spz'
    path.write_bytes(spz_bytes(4)[:cut])
    with pytest.raises(CaldiffError, match='is damaged or ends early'):
        read_splat(path)


@pytest.mark.parametrize(('position', 'value'), [(11, 200), (8, 2), (12, 2), (15, 9), (40, 0)])
def test_changed_spz_of_version_4(tmp_path, position, value):
    content = bytearray(spz_bytes(4))
    content[position] = value
    (tmp_path / 'scene.spz').write_bytes(content)
    with pytest.raises(CaldiffError, match='is damaged or ends early'):
        read_splat(tmp_path / 'scene.spz')


def test_what_spz_of_version_4_needs_is_named(tmp_path, monkeypatch):
    (tmp_path / 'scene.spz').write_bytes(spz_bytes(4))
    monkeypatch.setitem(__import__('sys').modules, 'zstandard', None)
    with pytest.raises(CaldiffError, match=r'pip install "caldiff_ros\[splats\]"'):
        read_splat(tmp_path / 'scene.spz')


def test_cut_antimatter(tmp_path):
    (tmp_path / 'scene.splat').write_bytes(antimatter_row()[:-1])
    with pytest.raises(CaldiffError, match='has 31 bytes, expected 32 for each'):
        read_splat(tmp_path / 'scene.splat')


@pytest.mark.parametrize('name', ['nothing.ply', ''])
def test_what_is_no_file(tmp_path, name):
    with pytest.raises(CaldiffError, match=r'cannot be read .*check the path'):
        read_splat(tmp_path / name)


@pytest.mark.parametrize('suffix', ['ply', 'spz'])
def test_a_full_disk_leaves_what_was_there(tmp_path, full_disk, suffix):
    path = tmp_path / f'scene.{suffix}'
    path.write_bytes(b'older')
    with full_disk(5_000), pytest.raises(CaldiffError, match=f'scene.{suffix} cannot be written'):
        write_splat(some_splat(), path)
    assert path.read_bytes() == b'older'
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_too_far_away_for_spz(tmp_path):
    splat = some_splat()
    splat.means[3, 1] = -5e6
    with pytest.raises(CaldiffError, match=r'reach 5000000\.0 from the origin, expected less than'):
        write_splat(splat, tmp_path / 'scene.spz')
    splat.means[3, 1] = -4e6
    write_splat(splat, tmp_path / 'scene.spz')
    assert read_splat(tmp_path / 'scene.spz').means[3, 1] == -4e6
