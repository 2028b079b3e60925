# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Gaussians of a map in a file are those that it renders."""

from pathlib import Path

import numpy as np
import pytest
import torch
from blobs import Blobs, ring

from caldiff_ros.cli import main
from caldiff_ros.geometry import Pose
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField
from caldiff_ros.splats.exporting import map_splat
from caldiff_ros.splats.reading import read_splat
from maps import make_map

SHIPPED = Path(__file__).parents[2] / 'maps/diorama_room'
TURN = np.array([[0, 0, 1, 10], [1, 0, 0, -20], [0, 1, 0, 30], [0, 0, 0, 1.0]])


@pytest.fixture
def saved(tmp_path):
    """A map whose frame is turned and scaled against its training poses."""
    loaded = make_map(scale=3.0, T_map_scene=TURN, metric=True)
    loaded.save(tmp_path / 'map')
    return LocalizationMap.load(tmp_path / 'map')


def field_of(splat, like, unit):
    """A field of a splat whose coordinates are a map's, ``unit`` of them per normalized one."""
    config = GaussianConfig(
        count=len(splat),
        sh_degree=splat.sh_degree,
        near=like.near * unit,
        focal_px=like.focal_px,
    )
    field = GaussianField(config, like.aabb, like.background)
    with torch.no_grad():
        for name in ('means', 'log_scales', 'quaternions', 'logits', 'harmonics'):
            getattr(field, name).copy_(torch.from_numpy(getattr(splat, name)))
    return field.requires_grad_(False).eval()


def check_renders(loaded, path, T_norm_cam):
    """Map and file show the same from the same places, in the map's coordinates and its field's."""
    splat = read_splat(path)
    expected = loaded.field.render(T_norm_cam, loaded.camera)
    assert (expected.opacity > 0.5).float().mean() > 0.2

    S_map_norm = loaded.to_map(Pose.identity(1))[0]
    S_map_norm[:3, :3] *= loaded.unit
    there = field_of(splat.transformed(np.linalg.inv(S_map_norm)), loaded.field, 1.0)
    check(there.render(T_norm_cam, loaded.camera), expected, 2e-6, 1.0)

    T_map_cam = Pose.from_matrix(loaded.to_map(T_norm_cam)).to('cpu', torch.float32)
    field = field_of(splat, loaded.field, loaded.unit)
    # what is in front of what is decided in steps of the depth, which fall elsewhere here
    check(field.render(T_map_cam, loaded.camera), expected, 1e-4, loaded.unit)


def check(got, expected, precision, unit):
    assert (got.rgb - expected.rgb).abs().mean() < precision
    seen = expected.opacity > 0.5
    assert (got.depth / unit - expected.depth)[seen].abs().mean() < precision


def test_the_file_is_in_the_frame_and_unit_of_the_map(saved, tmp_path, capsys):
    path = tmp_path / 'scene.ply'
    assert main(['export', str(tmp_path / 'map'), str(path)]) == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert '300 Gaussians with harmonics of degree 1, in metres, written to' in said
    splat = read_splat(path)
    # the map of maps.py is normalized about (1, -2, 3) with a side of 2.5
    scene = 3.0 * (saved.field.means.numpy() * 2.5 + [1, -2, 3])
    expected = scene @ TURN[:3, :3].T + TURN[:3, 3]
    np.testing.assert_allclose(splat.means, expected, rtol=1e-5, atol=1e-5)
    expected = saved.field.log_scales.numpy() + np.log(3 * 2.5)
    np.testing.assert_allclose(splat.log_scales, expected, atol=1e-5)
    np.testing.assert_array_equal(splat.logits, saved.field.logits.numpy())
    assert splat.antialiased
    check_renders(saved, path, ring(4))


def test_the_shipped_map_comes_back_as_it_was(tmp_path):
    path = tmp_path / 'scene.ply'
    assert main(['export', str(SHIPPED), str(path)]) == 0
    loaded = LocalizationMap.load(SHIPPED)
    assert len(read_splat(path)) == len(loaded.field.means)
    check_renders(loaded, path, loaded.training_cameras[:3])


def test_spz_is_as_near_as_its_bytes_allow(saved, tmp_path):
    for name in ('scene.ply', 'scene.spz'):
        assert main(['export', str(tmp_path / 'map'), str(tmp_path / name)]) == 0
    exact, coarse = read_splat(tmp_path / 'scene.ply'), read_splat(tmp_path / 'scene.spz')
    np.testing.assert_allclose(coarse.means, exact.means, atol=2e-5)
    np.testing.assert_allclose(coarse.log_scales, exact.log_scales, atol=0.5 / 16 + 1e-6)
    assert coarse.antialiased


def test_an_unknown_unit_is_said(tmp_path, capsys):
    make_map().save(tmp_path / 'map')
    assert main(['export', str(tmp_path / 'map'), str(tmp_path / 'scene.PLY')]) == 0
    assert 'in the unit of the training poses' in ' '.join(capsys.readouterr().out.split())


def test_a_principal_point_that_no_file_holds_is_told(tmp_path, caplog):
    loaded = make_map()
    map_splat(loaded)
    assert not caplog.text
    loaded.field.shift = 0.02, -0.01
    map_splat(loaded)
    fx = loaded.camera.fx
    assert f'shifted by {0.02 * fx:+.1f}, {-0.01 * fx:+.1f} pixels (right, down)' in caplog.text
    assert 'a splat file cannot hold' in caplog.text


def test_other_fields_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(LocalizationMap, 'load', lambda path: make_other_map())
    assert main(['export', str(tmp_path / 'map'), str(tmp_path / 'scene.ply')]) == 2
    assert (
        'field of the map test is of the kind blobs, expected gaussians' in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def make_other_map():
    loaded = make_map()
    loaded.field = Blobs()
    return loaded


@pytest.mark.parametrize('name', ['scene.splat', 'scene'])
def test_other_formats_are_told(saved, tmp_path, capsys, name):
    assert main(['export', str(tmp_path / 'map'), str(tmp_path / name)]) == 2
    assert 'expected a name that ends in .ply or .spz' in capsys.readouterr().err


def test_a_full_disk_is_told(saved, tmp_path, full_disk, capsys):
    path = tmp_path / 'scene.ply'
    with full_disk(5000):
        assert main(['export', str(tmp_path / 'map'), str(path)]) == 2
    assert 'scene.ply cannot be written (File too large)' in capsys.readouterr().err
    assert not path.exists()
