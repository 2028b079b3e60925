# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The map folder keeps what was put in it, and says so when it is damaged."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import yaml
from blobs import CAMERA, ring
from scipy.spatial.transform import Rotation

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField
from caldiff_ros.nerf.tiny import TinyNerf, TinyNerfConfig
from maps import BOX, CALIBRATION, make_map


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / 'map'
    make_map().save(path)
    return path


@pytest.mark.parametrize('kind', ['gaussians', 'tiny'])
def test_a_loaded_map_renders_and_predicts_the_same(tmp_path, kind):
    tiny = TinyNerf(TinyNerfConfig(depth=2, width=16, samples=8), BOX, 'white')
    made = make_map(field=tiny if kind == 'tiny' else None)
    made.save(tmp_path / 'map')
    loaded = LocalizationMap.load(tmp_path / 'map')
    maps = (made, loaded)
    before, after = (m.field.render(ring(2), CAMERA) for m in maps)
    # half precision: ten bits of mantissa
    torch.testing.assert_close(after.rgb, before.rgb, rtol=0, atol=4e-3)
    features = [
        m.diffusion.conditioning.project(m.diffusion.extract_features(before.rgb)) for m in maps
    ]
    torch.testing.assert_close(features[1], features[0], rtol=0.04, atol=0.04)
    for name in ('name', 'camera', 'normalization', 'calibration', 'provenance', 'metric'):
        assert getattr(loaded, name) == getattr(made, name)
    cameras = [m.training_cameras.matrix() for m in maps]
    assert torch.equal(*cameras)


def test_colours_by_direction_are_kept_to_a_thousandth_of_their_usual_range(tmp_path):
    """One Gaussian in a thousand may change more: bytes for the largest would be coarse."""
    N, generator = 3000, torch.Generator().manual_seed(0)
    config = GaussianConfig(count=N, sh_degree=2, near=0.1, focal_px=100.0)
    field = GaussianField(config, BOX, 'white')
    spread = torch.linspace(0.02, 0.1, 9 * 3).view(9, 3)
    with torch.no_grad():
        field.harmonics.copy_(spread * torch.randn(N, 9, 3, generator=generator))
        field.harmonics[7, 5, 1] = 30.0
    make_map(field=field).save(tmp_path / 'map')
    loaded = LocalizationMap.load(tmp_path / 'map').field.harmonics
    errors = (loaded - field.harmonics).abs().detach()
    assert float(errors[:, 0].max()) < 2e-4
    # of 3000 normal numbers all but three are within 3.5 deviations, of which 127 steps are made
    usual = errors[:, 1:] < 3.5 / 127 / 2 * spread[1:] * 1.1
    assert int((~usual).sum(0).max()) <= 3
    assert float(loaded[7, 5, 1]) > 0.2
    stored = (tmp_path / 'map' / 'field.safetensors').stat().st_size
    assert stored < N * (3 * 4 + (3 + 4 + 1 + 3) * 2 + 24 + 4) + 2000


@pytest.mark.parametrize(
    ('zoom', 'says'),
    [
        (1.0, ''),
        (1.2, ''),
        (2.0, 'each image fills 25% of the view that is expected'),
        (0.5, '75% of each image is not used'),
    ],
)
def test_cameras_of_another_field_of_view_are_named(zoom, says):
    made = make_map()
    camera = replace(made.camera, fx=zoom * made.camera.fx, fy=zoom * made.camera.fy)
    note = made.view_note(camera)
    assert says in note and bool(note) == bool(says)


def test_poses_in_a_turned_and_scaled_map(tmp_path):
    """The chain of the design, worked out with scipy: normalized, training frame, map."""
    T_map_scene = np.eye(4)
    T_map_scene[:3, :3] = Rotation.from_euler('xyz', [0.3, -0.5, 1.0]).as_matrix()
    T_map_scene[:3, 3] = [4.0, 5.0, 6.0]
    make_map(scale=0.4, T_map_scene=T_map_scene, metric=True).save(tmp_path / 'map')
    loaded = LocalizationMap.load(tmp_path / 'map')
    cameras = ring(5)
    T = loaded.to_map(cameras)
    scene = 2.5 * cameras.t.numpy() + [1.0, -2.0, 3.0]
    expected = (0.4 * scene) @ T_map_scene[:3, :3].T + T_map_scene[:3, 3]
    np.testing.assert_allclose(T[:, :3, 3], expected, atol=1e-5)
    np.testing.assert_allclose(T[:, :3, :3], T_map_scene[:3, :3] @ cameras.R.numpy(), atol=1e-6)
    back = loaded.to_norm(T)
    torch.testing.assert_close(back.t, cameras.t, rtol=0, atol=1e-6)
    torch.testing.assert_close(back.R, cameras.R, rtol=0, atol=1e-6)
    assert loaded.unit == pytest.approx(1.0)


@pytest.mark.parametrize(
    ('key', 'value', 'says'),
    [
        ('scale', 0, 'the scale in .* is 0, expected metres per unit .* write a positive number'),
        ('scale', '1:50', "the scale in .* is '1:50', .* write a positive number"),
        (
            'T_map_scene',
            np.diag([2.0, 2, 2, 1]).tolist(),
            r'the pose of T_map_scene in .* \(determinant 8\), .* remove scale and mirroring .*',
        ),
        (
            'T_map_scene',
            [1, 2, 3],
            r'the pose of T_map_scene in .* has shape \(3,\) .* repair or remove it',
        ),
    ],
)
def test_a_frame_that_is_none_is_refused(saved, key, value, says):
    content = yaml.safe_load((saved / 'map.yaml').read_text())
    (saved / 'map.yaml').write_text(yaml.safe_dump({**content, key: value}))
    with pytest.raises(CaldiffError, match=f'^{says}$'):
        LocalizationMap.load(saved)


def test_scale_and_frame_can_be_changed_by_hand(saved):
    content = yaml.safe_load((saved / 'map.yaml').read_text())
    before = LocalizationMap.load(saved).to_map(ring(3))
    content.update(scale=2, frame_id='lab', T_map_scene=[[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3]])
    (saved / 'map.yaml').write_text(yaml.safe_dump(content))
    loaded = LocalizationMap.load(saved)
    assert loaded.frame_id == 'lab'
    x, y, z = before[:, :3, 3].T
    moved = loaded.to_map(ring(3))[:, :3, 3]
    np.testing.assert_allclose(moved, np.stack([1 - 2 * y, 2 + 2 * x, 3 + 2 * z], 1), atol=1e-5)


def test_mask_is_kept_and_may_be_put_there_by_hand(saved, tmp_path):
    assert LocalizationMap.load(saved).mask is None
    mask = np.random.default_rng(0).random((12, 16)) > 0.3
    make_map(mask=mask).save(tmp_path / 'masked')
    np.testing.assert_array_equal(LocalizationMap.load(tmp_path / 'masked').mask, mask)
    cv2.imwrite(str(saved / 'mask.png'), np.where(mask, 200, 0).astype(np.uint8))
    np.testing.assert_array_equal(LocalizationMap.load(saved).mask, mask)
    (saved / 'mask.png').write_bytes(b'')
    with pytest.raises(CaldiffError, match=r'mask\.png cannot be read'):
        LocalizationMap.load(saved)


def test_nothing_but_numbers_is_loaded(saved):
    """No pickle: weights are safetensors, the rest is YAML without tags and JSON."""
    assert {path.suffix for path in saved.iterdir()} == {'.yaml', '.json', '.safetensors'}
    text = (saved / 'map.yaml').read_text()
    (saved / 'map.yaml').write_text(text + 'x: !!python/object/apply:os.getcwd []\n')
    with pytest.raises(CaldiffError, match=r'map\.yaml cannot be read'):
        LocalizationMap.load(saved)


def test_damage_is_noticed(saved):
    weights = saved / 'field.safetensors'
    content = bytearray(weights.read_bytes())
    content[-7] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CaldiffError, match=r'field\.safetensors is missing or damaged'):
        LocalizationMap.load(saved)
    weights.unlink()
    with pytest.raises(CaldiffError, match=r'field\.safetensors is missing or damaged'):
        LocalizationMap.load(saved)


def test_a_missing_map_is_named(tmp_path):
    with pytest.raises(CaldiffError, match=r'nowhere holds no map\.yaml'):
        LocalizationMap.load(tmp_path / 'nowhere')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'format_version': 99}, 'has map format 99, expected 4'),
        ({'camera': {'width': 3}}, 'does not describe the files'),
        ({'background': None, 'field': {}}, 'does not describe the files'),
        (
            {'field': {'kind': 'factorized'}},
            r"kind 'factorized', expected one of gaussians, .* build the map anew with caldiff",
        ),
    ],
)
def test_a_map_of_another_kind_is_refused(saved, change, message):
    content = yaml.safe_load((saved / 'map.yaml').read_text()) | change
    (saved / 'map.yaml').write_text(yaml.safe_dump(content))
    with pytest.raises(CaldiffError, match=message):
        LocalizationMap.load(saved)


def test_saving_replaces_a_map_and_nothing_else(saved, tmp_path):
    changed = make_map()
    changed.calibration = replace(CALIBRATION, covariance_scale=0.25)
    changed.save(saved)
    assert LocalizationMap.load(saved).calibration == replace(CALIBRATION, covariance_scale=0.25)
    assert [path.name for path in tmp_path.iterdir()] == ['map']
    other = tmp_path / 'photos'
    other.mkdir()
    (other / 'holiday.jpg').write_bytes(b'x')
    with pytest.raises(CaldiffError, match='exists and is not a map'):
        make_map().save(other)
    assert [path.name for path in other.iterdir()] == ['holiday.jpg']


@pytest.mark.parametrize('limit', [100, 100_000])  # in the middle of the field, of the diffusion
def test_a_full_disk_leaves_the_old_map(saved, tmp_path, full_disk, limit):
    with full_disk(limit), pytest.raises(OSError, match='too large'):
        make_map().save(saved)
    assert [path.name for path in tmp_path.iterdir()] == ['map']
    LocalizationMap.load(saved)


def test_an_image_has_the_detail_that_it_has():
    """Of an image with three times the pixels of the map's; distortion is undone."""
    made, large = make_map(), CAMERA.resized(3 * CAMERA.width, 3 * CAMERA.height)
    image = np.random.default_rng(0).integers(0, 256, (large.height, large.width, 3), np.uint8)
    np.testing.assert_array_equal(made.detailed_view(image, large), image)
    assert made.detailed_view(image[::3, ::3], CAMERA) is None
    huge = CAMERA.resized(40 * CAMERA.width, 40 * CAMERA.height)
    black = np.zeros((huge.height, huge.width, 3), np.uint8)
    assert max(made.detailed_view(black, huge).shape) == 1600
