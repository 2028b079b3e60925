# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that gsply wrote are read alike, and gsply reads alike what we write."""

import numpy as np
import pytest
from splat_files import shown, some_splat

from caldiff_ros.splats.reading import read_splat
from caldiff_ros.splats.splat import unit
from caldiff_ros.splats.writing import write_ply, write_splat

gsply = pytest.importorskip('gsply')
spz = pytest.importorskip('gsply.spz')

FIELDS = ('means', 'log_scales', 'quaternions', 'logits')


def theirs(splat):
    return gsply.GSData.from_arrays(
        means=splat.means,
        scales=splat.log_scales,
        quats=splat.quaternions,
        opacities=splat.logits,
        sh0=splat.harmonics[:, 0],
        shN=splat.harmonics[:, 1:] if splat.sh_degree else None,
        format='ply',
    )


def check(splat, data, **tolerances):
    values = (data.means, data.scales, unit(np.ascontiguousarray(data.quats)), data.opacities)
    for name, value in zip(FIELDS, values, strict=True):
        atol = tolerances.get(name, 0)
        np.testing.assert_allclose(getattr(splat, name), value, rtol=1e-6, atol=max(atol, 1e-6))
    np.testing.assert_allclose(splat.harmonics[:, 0], data.sh0, rtol=1e-6, atol=1e-6)
    if splat.sh_degree:
        np.testing.assert_allclose(splat.harmonics[:, 1:], data.shN, atol=1e-6)


@pytest.mark.parametrize('degree', [0, 1, 2, 3])
def test_ply_of_gsply(tmp_path, degree):
    splat = some_splat(degree=degree)
    gsply.plywrite(str(tmp_path / 'scene.ply'), theirs(splat))
    back = read_splat(tmp_path / 'scene.ply')
    check(back, theirs(splat))
    np.testing.assert_allclose(shown(back), shown(splat), atol=1e-5)


@pytest.mark.parametrize('degree', [0, 1, 2, 3])
def test_our_ply_in_gsply(tmp_path, degree):
    splat = some_splat(degree=degree, antialiased=True)
    write_ply(splat, tmp_path / 'scene.ply')
    check(splat, gsply.plyread(str(tmp_path / 'scene.ply')))


@pytest.mark.parametrize('degree', [0, 3])
def test_compressed_ply_of_gsply(tmp_path, degree):
    splat = some_splat(degree=degree)
    gsply.plywrite(str(tmp_path / 'scene.ply'), theirs(splat), compressed=True)
    path = next(tmp_path.iterdir())
    back = read_splat(path)
    check(back, gsply.plyread(str(path)))
    # a thousandth of the scene and of the logarithms' range, 8 bits of colours
    np.testing.assert_allclose(back.means, splat.means, atol=0.4 / 1000)
    np.testing.assert_allclose(back.log_scales, splat.log_scales, atol=2 / 1000)
    assert np.sqrt(np.mean((shown(back) - shown(splat))[..., :3] ** 2)) < 0.01


@pytest.mark.parametrize('degree', [0, 1, 2, 3])
def test_our_spz_is_that_of_gsply(tmp_path, degree):
    splat = some_splat(degree=degree)
    write_splat(splat, tmp_path / 'ours.spz')
    spz.write_spz(str(tmp_path / 'theirs.spz'), theirs(splat), version=3, fractional_bits=24)
    ours, other = (read_splat(tmp_path / name) for name in ('ours.spz', 'theirs.spz'))
    for name in (*FIELDS, 'harmonics'):
        # numbers half way between two may be rounded to either
        equal = np.isclose(getattr(ours, name), getattr(other, name), rtol=0, atol=1e-6)
        assert equal.mean() > 0.999
    np.testing.assert_allclose(ours.means, splat.means, atol=1e-7)
    check(ours, spz.read_spz(str(tmp_path / 'ours.spz')))
    np.testing.assert_allclose(shown(ours), shown(other), atol=0.02)


@pytest.mark.parametrize('degree', [0, 1, 2, 3])
@pytest.mark.parametrize('version', [3, 4])
def test_spz_of_gsply(tmp_path, degree, version):
    pytest.importorskip('zstandard')
    splat = some_splat(degree=degree)
    spz.write_spz(str(tmp_path / 'scene.spz'), theirs(splat), version=version)
    back = read_splat(tmp_path / 'scene.spz')
    check(back, spz.read_spz(str(tmp_path / 'scene.spz')))
    np.testing.assert_allclose(back.means, splat.means, atol=0.5 / 4096 + 1e-6)
    np.testing.assert_allclose(back.log_scales, splat.log_scales, atol=0.5 / 16 + 1e-6)
    kept = splat.harmonics[:, 1:].clip(-1, 127 / 128)
    np.testing.assert_allclose(back.harmonics[:, 1:], kept, atol=0.5 / 128 + 1e-6)
    turn = np.abs((back.quaternions * splat.quaternions).sum(axis=1))
    assert np.degrees(2 * np.arccos(np.minimum(turn, 1))).max() < 0.5
    assert np.sqrt(np.mean((shown(back) - shown(splat))[..., :3] ** 2)) < 0.02
