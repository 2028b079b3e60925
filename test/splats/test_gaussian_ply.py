# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The .ply of 3DGS in all its variants, against values worked out by hand."""

import numpy as np
import pytest
from splat_files import GAUSSIAN, check_gaussian, gaussian_ply, ply_bytes, shown, some_splat

from caldiff_ros.geometry import Pose
from caldiff_ros.splats.ply import BLOCK
from caldiff_ros.splats.reading import read_splat
from caldiff_ros.splats.writing import write_ply


@pytest.mark.parametrize('form', ['binary_little_endian', 'binary_big_endian', 'ascii'])
def test_a_gaussian_as_inria_writes_it(tmp_path, form):
    (tmp_path / 'scene.ply').write_bytes(gaussian_ply(form=form))
    check_gaussian(read_splat(tmp_path / 'scene.ply'))


def test_properties_are_found_by_name(tmp_path):
    # in another order, of other types, with others between, without normals, and under no name
    shuffled = {'label': 7, **dict(reversed(GAUSSIAN.items())), 'extra': 9.0}
    for name in ('nx', 'ny', 'nz'):
        del shuffled[name]
    content = gaussian_ply(shuffled, kinds={'label': 'uchar', 'x': 'double'})
    (tmp_path / 'scene').write_bytes(content)
    check_gaussian(read_splat(tmp_path / 'scene'))


def test_the_end_of_lines_may_be_that_of_windows(tmp_path):
    header, body = gaussian_ply().split(b'end_header\n')
    content = header.replace(b'\n', b'\r\n') + b'end_header\r\n' + body
    (tmp_path / 'scene.ply').write_bytes(content)
    check_gaussian(read_splat(tmp_path / 'scene.ply'))


def of_degree(degree):
    n_rest = 3 * ((degree + 1) ** 2 - 1)
    kept = {name: value for name, value in GAUSSIAN.items() if not name.startswith('f_rest')}
    return {**kept, **{f'f_rest_{i}': float(i) for i in range(n_rest)}}


@pytest.mark.parametrize('degree', [0, 1, 2, 3])
def test_harmonics_of_all_degrees(tmp_path, degree):
    (tmp_path / 'scene.ply').write_bytes(gaussian_ply(of_degree(degree)))
    harmonics = read_splat(tmp_path / 'scene.ply').harmonics[0]
    assert harmonics.shape == ((degree + 1) ** 2, 3)
    per_channel = len(harmonics) - 1
    for channel in range(3):
        expected = channel * per_channel + np.arange(per_channel)
        np.testing.assert_array_equal(harmonics[1:, channel], expected)


def test_harmonics_of_degree_4_are_left_out(tmp_path):
    (tmp_path / 'scene.ply').write_bytes(gaussian_ply(of_degree(4)))
    harmonics = read_splat(tmp_path / 'scene.ply').harmonics[0]
    np.testing.assert_array_equal(harmonics[1:, 1], 24 + np.arange(15))  # green comes after 24 red
    assert len(harmonics) == 16


def test_plain_colors_as_nerfstudio_can_export_them(tmp_path):
    plain = {name: value for name, value in GAUSSIAN.items() if not name.startswith('f_')}
    plain |= {'red': 255, 'green': 0, 'blue': 51}
    kinds = dict.fromkeys(('red', 'green', 'blue'), 'uchar')
    (tmp_path / 'scene.ply').write_bytes(gaussian_ply(plain, kinds=kinds))
    harmonics = read_splat(tmp_path / 'scene.ply').harmonics
    # the constant harmonic is 1 / (2 sqrt(pi)), which times these and plus 0.5 gives the colours
    expected = (np.array([1, 0, 0.2]) - 0.5) * 2 * np.pi**0.5
    np.testing.assert_allclose(harmonics, [[expected]], rtol=1e-5)


@pytest.mark.parametrize(
    ('comments', 'antialiased'),
    [
        ([], None),
        (['made by hand'], None),
        (['SplatRenderMode: mip'], True),  # Brush
        (['SplatRenderMode: default'], False),
        (['antialiased 1'], True),  # Postshot
        (['antialiased 0'], False),
    ],
)
def test_comments_tell_how_it_was_trained(tmp_path, comments, antialiased):
    (tmp_path / 'scene.ply').write_bytes(gaussian_ply(comments=comments))
    assert read_splat(tmp_path / 'scene.ply').antialiased is antialiased


def test_what_is_written_is_inrias_layout(tmp_path):
    (tmp_path / 'given.ply').write_bytes(gaussian_ply())
    write_ply(read_splat(tmp_path / 'given.ply'), tmp_path / 'written.ply')
    unit = {**GAUSSIAN, 'rot_0': 0.5**0.5, 'rot_3': -(0.5**0.5)}
    assert (tmp_path / 'written.ply').read_bytes() == gaussian_ply(unit)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['given.ply', 'written.ply']


@pytest.mark.parametrize('antialiased', [None, True, False])
@pytest.mark.parametrize('n', [1, BLOCK, BLOCK + 1])
def test_any_number_comes_back_as_it_was(tmp_path, n, antialiased):
    splat = some_splat(n, degree=1, antialiased=antialiased)
    write_ply(splat, tmp_path / 'scene.ply')
    back = read_splat(tmp_path / 'scene.ply')
    for name in ('means', 'log_scales', 'logits', 'harmonics'):
        np.testing.assert_array_equal(getattr(back, name), getattr(splat, name))
    np.testing.assert_allclose(back.quaternions, splat.quaternions, atol=1e-6)
    assert back.antialiased is antialiased


def test_large_ascii_files_are_read_in_parts(tmp_path):
    rows = [[i, *list(GAUSSIAN.values())[1:]] for i in range(BLOCK + 2)]
    properties = [('float', name) for name in GAUSSIAN]
    content = ply_bytes({'vertex': (properties, rows)}, 'ascii')
    (tmp_path / 'scene.ply').write_bytes(content.rstrip())  # without a last end of line
    means = read_splat(tmp_path / 'scene.ply').means
    np.testing.assert_array_equal(means[:, 0], np.arange(BLOCK + 2))
    np.testing.assert_array_equal(means[:, 1], -2)


def test_what_one_gaussian_shows(tmp_path):
    # seen along z, it is long in y, as its long axis x was turned about z; its colour is
    # 0.5 + dc / (2 sqrt(pi)) + z sqrt(3 / (4 pi)) times the third harmonic
    one = {**GAUSSIAN, 'x': 0.0, 'y': 0.0, 'z': 1.0, 'opacity': 20.0, 'scale_0': -2.0}
    (tmp_path / 'scene.ply').write_bytes(gaussian_ply(one))
    pixels = shown(read_splat(tmp_path / 'scene.ply'), Pose.identity(1))[0].reshape(40, 48, 5)
    color = pixels[20, 24, :3] / pixels[20, 24, 4]
    dc, third = np.array([0.5, -0.25, 1.5]), np.array([0.25, 0.625, 1])
    expected = 0.5 + dc / (2 * np.pi**0.5) + third * (3 / (4 * np.pi)) ** 0.5
    np.testing.assert_allclose(color, expected, atol=1e-3)
    assert pixels[26, 24, 4] > 0.5
    assert pixels[20, 30, 4] < 0.1
