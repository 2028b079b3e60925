# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Splats that others have trained, adopted with photographs of their place."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from splat_world import CAMERA, LARGE, data_of, in_normalized, inside, joined, photographs, room

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.trust_basis import KNOWN_PHOTOGRAPHS
from caldiff_ros.mapping import map_calibration
from caldiff_ros.mapping.adopted_splat import SplatSource, adopt_splat
from caldiff_ros.mapping.calibration import CalibrationConfig
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.gaussian_training import GaussianTraining
from caldiff_ros.mapping.map_calibration import calibrate_given, calibrate_map
from caldiff_ros.mapping.splat_field import field_of_splat
from caldiff_ros.mapping.splat_reduction import reduced
from maps import CALIBRATION

POSES = inside()


def source(splat, focal_px=None):
    return SplatSource(name='room.ply', splat=splat, focal_px=focal_px)


@pytest.fixture(scope='module')
def splat():
    return room()


def test_the_size_of_the_training_images_is_found(splat, caplog):
    """Of photographs that are twice as large on disk, seen at the size of the training."""
    caplog.set_level('INFO')
    data = data_of(photographs(splat, POSES), POSES, CAMERA, LARGE)
    adopted = adopt_splat(source(splat), data, BuildContext())
    assert adopted.field.focal_px == pytest.approx(CAMERA.fx)
    assert not adopted.field.antialiased
    assert adopted.facts['splat_trained_at_px'] == 80
    assert adopted.facts['splat_psnr_db'] > 40
    assert adopted.facts['splat_turned_deg'] == 0
    assert 'trained on images of 80 pixels without anti-aliasing' in caplog.text
    assert adopted.train(data.field_views, BuildContext()) is adopted.field


def test_rays_that_the_training_had_elsewhere_are_found_and_undone(splat, caplog):
    """The splat shows the photographs of cameras whose principal point is not what they say."""
    data = data_of(photographs(splat, POSES, shift_px=(1.5, -1.0)), POSES, CAMERA, CAMERA)
    adopted = adopt_splat(source(splat, CAMERA.fx), data, BuildContext())
    assert adopted.field.shift == pytest.approx((1.5 / 60, -1.0 / 60), abs=0.2 / 60)
    degrees = np.degrees(np.hypot(1.5, 1.0) / 60)
    assert adopted.facts['splat_turned_deg'] == pytest.approx(degrees, rel=0.15)
    assert f'rotated by {adopted.facts["splat_turned_deg"]:.2g} deg' in caplog.text
    assert 'that is undone' in caplog.text
    assert adopted.facts['splat_psnr_db'] > 30


def test_a_splat_of_another_place_is_refused(splat):
    data = data_of(photographs(room(seed=5), POSES), POSES, CAMERA, CAMERA)
    with pytest.raises(CaldiffError, match='does not show what the images show'):
        adopt_splat(source(splat, CAMERA.fx), data, BuildContext())


def test_a_splat_that_is_not_where_the_cameras_look_is_refused(splat):
    data = data_of(photographs(splat, POSES), POSES, CAMERA, CAMERA)
    tiny = np.diag([1e-2, 1e-2, 1e-2, 1.0])
    tiny[:3, 3] = POSES.t[0] + 0.5 * POSES.R[0, :, 2]
    with pytest.raises(CaldiffError, match='empty in the view of the images'):
        adopt_splat(source(splat.transformed(tiny), CAMERA.fx), data, BuildContext())
    one = data.views.subset(torch.tensor([0]))
    behind = np.eye(4)
    behind[:3, 3] = -20 * POSES.R[0, :, 2].numpy()
    data = replace(data, views=one)
    with pytest.raises(CaldiffError, match='lies in front of any of 1 camera'):
        adopt_splat(source(splat.transformed(behind), CAMERA.fx), data, BuildContext())


def test_what_no_camera_sees_is_culled_and_what_no_pixel_resolves_is_merged(splat):
    """A room with a second one behind it, both of Gaussians split in four."""
    four = [
        replace(
            splat,
            means=splat.means + 0.01 * np.float32([a, b, 0]),
            log_scales=splat.log_scales - np.float32(np.log(2)),
        )
        for a in (-1, 1)
        for b in (-1, 1)
    ]
    hidden = replace(splat, means=splat.means + np.float32([0, 0, 30]))
    fine = joined(*four, hidden)
    data = data_of(photographs(fine, POSES), POSES, CAMERA, CAMERA)
    views, camera = data.views, data.camera
    field = field_of_splat(in_normalized(fine, data), views.T_norm_cam, camera, 'none', camera.fx)
    result, said = reduced(field, views.T_norm_cam, camera, 9_000, BuildContext())
    assert said.before == 30_000
    assert said.after == len(result.means) <= 9_000
    assert result.means[:, 2].max() < 20 / data.normalization.side
    shown = result.render(views.T_norm_cam[:4], camera).rgb
    mse = (shown - field.render(views.T_norm_cam[:4], camera).rgb).square().mean()
    assert said.psnr_db == pytest.approx(float(-10 * mse.log10()), abs=0.01)
    assert said.psnr_db > 25
    assert not result.antialiased and result.focal_px == camera.fx


class _TrainedError(Exception):
    """The native field is trained."""


@pytest.mark.parametrize('photographed', [True, False])
def test_renders_are_compared_with_another_field_and_photographs_with_the_splat(
    splat, monkeypatch, photographed
):
    """Of its own renders the splat would explain every pixel."""

    def train(self, data, context):
        raise _TrainedError

    monkeypatch.setattr(GaussianTraining, 'train', train)
    data = data_of(photographs(splat, POSES), POSES, CAMERA, CAMERA)
    adopted = adopt_splat(source(splat, CAMERA.fx), data, BuildContext())
    adopted = replace(adopted, photographed=photographed)
    assert adopted.is_given == photographed
    if not photographed:
        with pytest.raises(_TrainedError):
            calibrate_map(data, adopted, CalibrationConfig(), BuildContext())
        return

    def calibrate(field, views, quality, context, landmarks, detailed):
        assert field is adopted.field
        return replace(CALIBRATION, n_right=len(views))

    monkeypatch.setattr(map_calibration, 'calibrate', calibrate)
    config = CalibrationConfig(views=4)
    calibration, said = calibrate_given(data, adopted.field, config, BuildContext())
    assert calibration.n_right == 4
    assert said['calibration']['images'] == said['calibration']['aligned'] == 4
    assert said['calibration']['of'] == KNOWN_PHOTOGRAPHS
    assert said['calibration']['psnr_db'] > 40
    monkeypatch.setattr(map_calibration, 'calibrate', lambda *args: replace(CALIBRATION, n_right=1))
    with pytest.raises(CaldiffError, match='the splat does not explain its photographs: only 1 of'):
        calibrate_given(data, adopted.field, config, BuildContext())
