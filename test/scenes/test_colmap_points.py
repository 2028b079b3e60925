# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points of the COLMAP model from which another tool made transforms.json."""

import json

import numpy as np
import pytest
from plane_world import write_nerfstudio
from scipy.spatial.transform import Rotation

from caldiff_ros.scenes import open_scene
from caldiff_ros.scenes.checking import with_convention
from caldiff_ros.scenes.conventions import OPENCV

POINTS = np.array([[0.0, 0.0, 0.0], [0.5, 0.25, 0.0], [-0.5, 0.25, 0.125]])
#: What the other tool did to COLMAP's coordinates.
SCALE, TURN, SHIFT = 2.5, Rotation.from_euler('xyz', (20, -70, 130), degrees=True), (3.0, -1.0, 7.0)
VIEWS = [
    ((0.0, 0.0, 3.0), (0.0, 0.0, 0.0)),
    ((1.0, 0.5, 3.0), (10.0, 0.0, 5.0)),
    ((-1.0, 0.25, 2.5), (0.0, -15.0, 0.0)),
    ((0.5, -1.0, 3.5), (5.0, 5.0, -20.0)),
]


def camera_to_world(center, degrees):
    """OpenGL camera above the plane."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler('xyz', degrees, degrees=True).as_matrix()
    T[:3, 3] = center
    return T


@pytest.fixture
def processed(tmp_path):
    """Poses in new coordinates in transforms.json, and the model in the old ones."""
    originals = [camera_to_world(*view) for view in VIEWS]
    moved = []
    for T in originals:
        new = T.copy()
        new[:3, :3] = TURN.as_matrix() @ T[:3, :3]
        new[:3, 3] = SCALE * TURN.apply(T[:3, 3]) + SHIFT
        moved.append(new)

    root = write_nerfstudio(tmp_path / 'room', moved)
    model = root / 'colmap/sparse/0'
    model.mkdir(parents=True)
    (model / 'cameras.txt').write_text('1 PINHOLE 60 40 50 52 29 21\n')
    lines = []
    for i, T in enumerate(originals):
        R_cam_map = (T[:3, :3] @ np.diag([1.0, -1.0, -1.0])).T
        x, y, z, w = Rotation.from_matrix(R_cam_map).as_quat()
        t = -R_cam_map @ T[:3, 3]
        lines += [' '.join(map(repr, map(float, (w, x, y, z, *t)))), '']
        lines[-2] = f'{i + 1} {lines[-2]} 1 {i}.png'
    (model / 'images.txt').write_text('\n'.join(lines) + '\n')
    points = [f'{i} {x} {y} {z} 1 2 3 0.5 1 0 3 0' for i, (x, y, z) in enumerate(POINTS)]
    (model / 'points3D.txt').write_text('\n'.join(points) + '\n')
    return root


def test_points_come_into_the_map_of_the_frames(processed):
    points = open_scene(processed).sparse_points()
    expected = SCALE * TURN.apply(POINTS) + SHIFT
    np.testing.assert_allclose(points.xyz, expected, atol=1e-12)
    assert points.rgb.tolist() == [[1, 2, 3]] * 3
    shown = {name: indices.tolist() for name, indices in points.seen_by.items()}
    assert shown == {'images/0.png': [0, 1, 2], 'images/2.png': [0, 1, 2]}


def test_points_follow_poses_that_are_read_in_another_convention(processed, edit_json):
    def in_opencv(content):
        for frame in content['frames']:
            for row in frame['transform_matrix']:
                row[1:3] = -row[1], -row[2]

    edit_json(processed / 'transforms.json', in_opencv)
    points = with_convention(open_scene(processed), OPENCV).sparse_points()
    np.testing.assert_allclose(points.xyz, SCALE * TURN.apply(POINTS) + SHIFT, atol=1e-12)
    assert points.seen_by['images/2.png'].tolist() == [0, 1, 2]


def test_points_of_a_model_stay_where_they_are(processed):
    (processed / 'transforms.json').unlink()
    points = with_convention(open_scene(processed), OPENCV).sparse_points()
    np.testing.assert_array_equal(points.xyz, POINTS)


def test_points_of_other_poses_are_told_and_not_used(processed, edit_json, caplog):
    def swap(content):
        first, second = content['frames'][:2]
        first['file_path'], second['file_path'] = second['file_path'], first['file_path']

    edit_json(processed / 'transforms.json', swap)
    assert open_scene(processed).sparse_points() is None
    assert 'are not used' in caplog.text


def test_a_damaged_model_does_not_refuse_the_dataset(processed, caplog):
    (processed / 'colmap/sparse/0/cameras.txt').write_text('1 PINHOLE')
    scene = open_scene(processed)
    assert (len(scene.frames), scene.sparse_points()) == (4, None)
    assert 'are not used' in caplog.text


def test_two_images_in_common_are_too_few(processed):
    content = json.loads((processed / 'transforms.json').read_text())
    content['frames'] = content['frames'][:2]
    (processed / 'transforms.json').write_text(json.dumps(content))
    assert open_scene(processed).sparse_points() is None
