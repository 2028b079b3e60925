# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a splat can be seen from, told by itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from splat_world import CAMERA, HALF, inside, room, with_what_no_camera_saw

from caldiff_ros.cli.splat_options import camera_of
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.mapping import viewpoints
from caldiff_ros.mapping.adopted_splat import SplatSource
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.splat_field import bare_field, splat_box
from caldiff_ros.mapping.splat_renders import KnownCameras, rendered_data
from caldiff_ros.mapping.viewpoints import drawn, find_viewpoints, given_viewpoints
from caldiff_ros.scenes.trajectory import Trajectory

UP = torch.tensor([0.0, 0.0, 1.0])


@pytest.fixture
def short(monkeypatch):
    """A search of a second or two."""
    for name, count in {
        '_FIRST': 80,
        '_DRAWN': 40,
        '_BEST': 15,
        '_ROUNDS': 2,
        '_UP_AFTER': 1,
    }.items():
        monkeypatch.setattr(viewpoints, name, count)


def field_of(splat, box):
    distances = torch.full((len(splat),), 0.5)
    return bare_field(splat, (box, 'none'), CAMERA.fx, 0.01, distances)


def test_viewpoints_of_a_room_are_inside_upright_and_far_from_its_walls(short):
    """Behind its walls is what no camera saw."""
    splat = with_what_no_camera_saw(room(4000))
    box = splat_box(splat)
    found = find_viewpoints(field_of(splat, box), box, CAMERA, 20, UP, BuildContext())
    assert 5 <= len(found.poses) <= 20
    inside = (found.poses.t.abs() < torch.from_numpy(HALF)).all(1)
    assert inside.float().mean() > 0.8  # 45 % of the box that they are drawn from
    assert found.poses.R[:, 2, 0].abs().max() < 1e-5  # x axes are horizontal
    assert (found.poses.R[:, 2, 1] < 0).all()  # y axes point downwards
    forward = found.poses.R[..., 2]
    assert (forward @ forward.T).min() < -0.5  # in all directions


def test_up_is_found_in_a_room_that_is_turned_in_any_way(short, caplog):
    """Without its ceiling, which few photographs show: what is held upright then is so in it."""
    caplog.set_level('INFO')
    R = torch.from_numpy(Rotation.random(random_state=2).as_matrix()).float()
    S = np.eye(4)
    S[:3, :3] = R
    splat = room(12000)
    splat = splat[splat.means[:, 2] < HALF[2] - 0.01].transformed(S)
    box = splat_box(splat)
    found = find_viewpoints(field_of(splat, box), box, CAMERA, 20, None, BuildContext())
    up = found.up.direction.float()
    assert up @ R[:, 2] > np.cos(np.radians(3.0))
    assert (found.poses.R[..., 0] @ up).abs().max() < 1e-4  # x axes are horizontal
    assert (found.poses.R[..., 1] @ up).max() < 0  # y axes point downwards


def test_without_a_floor_for_certain_cameras_have_any_roll(short):
    """A room that has nothing in it looks the same upside down."""
    splat = room(9000)
    box = splat_box(splat)
    found = find_viewpoints(field_of(splat, box), box, CAMERA, 20, None, BuildContext())
    assert found.up is None
    assert found.poses.R[:, 2, 0].abs().max() > 0.3


def test_cameras_are_drawn_upright_or_in_any_way():
    box = torch.tensor([[-1.0, -2.0, -3.0], [1.0, 2.0, 3.0]])
    generator = torch.Generator().manual_seed(0)
    up = torch.nn.functional.normalize(torch.tensor([0.2, -0.9, 0.3]), dim=0)
    poses = drawn(box, 200, up, generator)
    assert torch.allclose(poses.R @ poses.R.mT, torch.eye(3).expand(200, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(poses.R), torch.ones(200), atol=1e-5)
    assert (poses.R[..., 0] @ up).abs().max() < 1e-5
    tilts = torch.rad2deg((poses.R[..., 2] @ up).asin())
    assert -40.1 < tilts.min() < -30 and 10 < tilts.max() < 20.1
    assert (poses.t.abs() <= 1.3 * box[1]).all() and (poses.t.abs() > box[1]).any()
    anyhow = drawn(box, 200, None, generator)
    assert (anyhow.R[..., 0] @ up).abs().max() > 0.8


def test_a_splat_that_shows_nothing_from_anywhere_is_refused(short):
    splat = room(30)
    box = splat_box(splat)
    with pytest.raises(CaldiffError, match='no viewpoint shows the splat'):
        find_viewpoints(field_of(splat, box), box, CAMERA, 20, UP, BuildContext())


def test_renders_stand_for_photographs_where_there_are_none(short, monkeypatch, caplog):
    caplog.set_level('INFO')
    monkeypatch.setattr('caldiff_ros.mapping.splat_renders._VIEWPOINTS', 5)
    splat = with_what_no_camera_saw(room(4000))
    source = SplatSource(name='room.ply', splat=splat, focal_px=60.0)
    data, adopted = rendered_data(
        source, KnownCameras(camera=camera_of(67.38), up=UP), BuildContext()
    )
    views = data.views
    # 60 pixels of focal length and 67 degrees are 80 pixels, 4:3
    assert (data.camera.width, data.camera.height) == (80, 60)
    assert data.camera.fx == pytest.approx(60, rel=1e-3)
    assert views.T_norm_cam.t.abs().max() == pytest.approx(0.5, abs=1e-4)
    assert len(views) == 5 and not data.frames and data.scene.name == 'room'
    assert not adopted.is_given
    exact = adopted.field.render(views.T_norm_cam, data.camera)
    solid = views.seen
    assert torch.equal(solid, exact.opacity > 0.5)
    assert torch.allclose(views.require_depth()[solid], exact.depth[solid], rtol=1e-4)
    brightness = [
        float((views.rgb[i] / exact.rgb[i].clamp_min(0.05)).median()) for i in range(len(views))
    ]
    assert min(brightness) < 0.95 < 1.05 < max(brightness)
    assert 'renders of 80x60 pixels from 5 viewpoints are used instead' in caplog.text
    assert '--trained-at' not in caplog.text and '--up' not in caplog.text


def of_trajectory(poses, camera=CAMERA):
    trajectory = Trajectory(Path('cameras.json'), camera, poses.matrix().double().numpy())
    return KnownCameras(camera=camera, trajectory=trajectory)


def test_cameras_of_a_trajectory_are_the_viewpoints(caplog):
    """Renders from where the photographs were taken, of their field of view and size."""
    caplog.set_level('INFO')
    poses = inside(12)
    source = SplatSource(name='room.ply', splat=room(4000), focal_px=60.0)
    data, adopted = rendered_data(source, of_trajectory(poses), BuildContext())
    got = data.normalization.to_map(data.views.T_norm_cam.to('cpu', torch.float64))
    distance = torch.cdist(got.t, poses.t.double())
    assert len(got) == 12
    assert distance.min(1).values.max() < 1e-5
    assert (data.camera.width, data.camera.height, data.camera.fx) == (80, 60, 60)
    assert not adopted.is_given and not data.frames
    assert adopted.facts['splat_viewpoints'] == 'cameras.json'
    assert 'cameras.json: none of its images is there' in caplog.text
    assert 'from 12 of its 12 cameras are used instead' in caplog.text
    assert 'half of the cameras are held within' in caplog.text


def test_of_a_long_trajectory_the_cameras_farthest_from_each_other_are_taken(monkeypatch):
    """Two places with ten cameras each: both have some."""
    monkeypatch.setattr('caldiff_ros.mapping.splat_renders._VIEWPOINTS', 4)
    poses = inside(20)
    sides = torch.tensor([-0.8, 0.8]).repeat(10)
    poses = Pose(poses.R, torch.stack([sides, 0 * sides, 0 * sides], dim=-1))
    source = SplatSource(name='room.ply', splat=room(2000), focal_px=60.0)
    data, _ = rendered_data(source, of_trajectory(poses), BuildContext())
    x = data.views.T_norm_cam.t[:, 0]
    assert len(x) == 4
    assert (x < 0).any() and (x > 0).any()


def test_the_size_of_the_training_is_at_most_that_of_the_trajectory():
    """Gaussians of 0.035, seen from 1 to 3 away, are of 4.5 pixels at 130 to 390 pixels."""
    splat = room(9000)
    box = splat_box(splat)
    field, poses = field_of(splat, box), inside(12)
    assert given_viewpoints(field, box, CAMERA, 12, poses).focal_px == CAMERA.fx
    # of 4000 pixels, which trainers reduce to 1600: 1200 pixels of focal length
    found = given_viewpoints(field, box, CAMERA.downscaled(1 / 50), 12, poses)
    assert 130 < found.focal_px < 390


def test_a_trajectory_of_another_place_is_refused():
    """It sees a corner of the room from far away: a few pixels."""
    poses = inside(4)
    away = Pose(poses.R, poses.t + torch.tensor([0.0, 0.0, 200.0]))
    turn = torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])  # looks down at the room
    away = Pose(turn.expand(4, 3, 3), away.t)
    source = SplatSource(name='room.ply', splat=room(1000), focal_px=60.0)
    with pytest.raises(CaldiffError, match='empty in the view of 4 cameras'):
        rendered_data(source, of_trajectory(away), BuildContext())
