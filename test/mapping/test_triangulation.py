# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points triangulated from features of images with known poses."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from blobs import ring
from room_corner import CAMERA, Room, arc, write_jpeg

from caldiff_ros.geometry import Pose, optical_to_opengl
from caldiff_ros.mapping import triangulation
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.tracks import PosedCamera
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.mapping.triangulation import neighbor_pairs, triangulated_tracks
from caldiff_ros.scenes import open_scene

N_POINTS, N_VIEWS = 60, 5


def posed_at(poses):
    """The camera at its poses."""
    return PosedCamera(CAMERA, poses.to(torch.float64))


def ignore(done, n):
    """Progress that nobody looks at."""


@pytest.fixture
def features(monkeypatch):
    """Exact features of points in front of five cameras, and the points.

    Each point has a descriptor of its own, so that all matches are right.
    """
    rng = np.random.default_rng(0)
    xyz = rng.uniform([-0.2, -0.2, 0.8], [0.2, 0.2, 1.2], (N_POINTS, 3))
    centers = np.array([[0.05 * i, 0.05 * (i % 2), 0] for i in range(N_VIEWS)])
    p = xyz - centers[:, None]
    uv = p[..., :2] / p[..., 2:] * CAMERA.fx + [CAMERA.cx, CAMERA.cy]
    found = {i: torch.from_numpy(uv[i]).float() for i in range(N_VIEWS)}

    def features_of(rgb, seen, count, contrast):
        return found[int(rgb[0, 0, 0])], torch.eye(128)[:N_POINTS]

    monkeypatch.setattr(triangulation, 'features_of', features_of)
    images = [
        (np.full((240, 320, 3), i, np.uint8), np.ones((240, 320), bool)) for i in range(N_VIEWS)
    ]
    poses = Pose(torch.eye(3).expand(N_VIEWS, 3, 3), torch.from_numpy(centers).float())
    return (
        found,
        torch.from_numpy(xyz).float(),
        lambda: triangulated_tracks(images, posed_at(poses), ignore),
    )


def test_points_are_where_the_rays_of_all_views_meet(features):
    _, xyz, triangulate = features
    points = triangulate().points
    assert len(points) == N_POINTS and points.source == 'triangulated features'
    torch.testing.assert_close(points.xyz, xyz, rtol=0, atol=1e-4)
    assert [len(indices) for indices in points.seen_by] == [N_POINTS] * N_VIEWS
    torch.testing.assert_close(points.rgb, torch.full((N_POINTS, 3), 2 / 255))  # mean of 0 to 4


def test_a_feature_that_does_not_fit_is_left_out(features):
    found, xyz, triangulate = features
    found[1][0] += torch.tensor([0.0, 12.0])
    points = triangulate().points
    assert len(points) == N_POINTS and [len(i) for i in points.seen_by] == [60, 59, 60, 60, 60]
    torch.testing.assert_close(points.xyz, xyz, rtol=0, atol=1e-4)


def test_what_fewer_than_three_views_agree_on_is_no_point(features):
    found, xyz, triangulate = features
    for view, off in ((0, 12.0), (1, -17.0), (2, 25.0)):
        found[view][0] += torch.tensor([0.0, off])
    points = triangulate().points
    assert len(points) == N_POINTS - 1
    torch.testing.assert_close(points.xyz, xyz[1:], rtol=0, atol=1e-4)


def test_points_behind_the_cameras_are_none(features):
    found, _, triangulate = features
    for view, uv in found.items():  # parallax the wrong way, so that rays meet behind
        uv[:30] = uv[:30] - 2 * (uv[:30] - found[0][:30]) if view else uv[:30]
    assert len(triangulate().points) == 30


def test_many_images_have_fewer_features_each(monkeypatch):
    asked = []

    def features_of(rgb, seen, count, contrast):
        asked.append(count)
        return torch.zeros(0, 2), torch.zeros(0, 128)

    monkeypatch.setattr(triangulation, 'features_of', features_of)
    image = np.zeros((24, 32, 3), np.uint8), np.ones((24, 32), bool)
    for n in (2, 200, 3000):
        assert len(triangulated_tracks([image] * n, posed_at(ring(n)), ignore).points) == 0
    assert sorted(set(asked)) == [200, 2000, 4000]


def test_pairs_are_of_neighbours():
    pairs = neighbor_pairs(ring(60))
    # ten neighbours each, and each pair once
    assert 60 * 5 <= len(pairs) == len(set(pairs)) < 60 * 6
    assert all(i < j and min(j - i, 60 - (j - i)) <= 6 for i, j in pairs)
    assert neighbor_pairs(ring(3)) == [(0, 1), (0, 2), (1, 2)]


@pytest.fixture(scope='module')
def room_data(tmp_path_factory):
    """Photos of the room with poses, read at half their size."""
    folder = tmp_path_factory.mktemp('room')
    room, frames = Room(), []
    for number, T in enumerate(arc(8)):
        write_jpeg(folder / f'{number}.jpg', room.photograph(T))
        pose = optical_to_opengl(T).tolist()
        frames.append({'file_path': f'{number}.jpg', 'transform_matrix': pose})
    camera = {'fl_x': CAMERA.fx, 'fl_y': CAMERA.fy, 'cx': CAMERA.cx, 'cy': CAMERA.cy}
    content = {**camera, 'w': CAMERA.width, 'h': CAMERA.height, 'frames': frames}
    (folder / 'transforms.json').write_text(json.dumps(content))
    scene = open_scene(folder)
    return TrainingData.load(scene, scene.frames, [], 2.0)


def test_poses_alone_give_points_on_the_walls(room_data, tmp_path):
    told = []
    context = BuildContext(work=tmp_path, report=lambda *progress: told.append(progress))
    data = room_data.with_points(context)
    assert len(data.points) > 500
    # eight images and all of their 28 pairs
    assert told == [('triangulation', step, 8 + 28, {}) for step in range(1, 37)]
    # walls and floor are x = 0, y = 0 and z = 0
    xyz_m = data.normalization.points_to_map(data.points.xyz)
    off_m = xyz_m.abs().amin(dim=-1)
    assert float(off_m.median()) < 0.005 and float((off_m > 0.05).float().mean()) < 0.02
    assert float(data.aabb[1, 2] - data.aabb[0, 2]) < float(
        room_data.aabb[1, 2] - room_data.aabb[0, 2]
    )

    # a build that goes on does not triangulate again
    told.clear()
    again = room_data.with_points(context)
    assert torch.equal(again.points.xyz, data.points.xyz) and not told
    assert data.with_points(context) is data


def test_photographs_have_more_pixels_than_the_views_of_them(room_data):
    """The views are of half the size; what is read again are the files."""
    chosen = torch.zeros(8, dtype=torch.bool).index_fill(0, torch.tensor([2, 5]), True)
    images = room_data.detailed_images(chosen)
    assert [image.shape for image in images] == [(CAMERA.height, CAMERA.width, 3)] * 2
    for image, i in zip(images, (2, 5), strict=True):
        file = cv2.imread(str(room_data.frames[i].image_path))[..., ::-1]
        assert np.abs(image.astype(int) - file).mean() < 1
    large = replace(room_data, camera=CAMERA)
    assert large.detailed_images(chosen) == [None, None]
