# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras of datasets whose images are not there."""

import json

import numpy as np
import pytest

from caldiff_ros.errors import CaldiffError, NoImageError
from caldiff_ros.scenes import open_scene
from caldiff_ros.scenes.trajectory import read_trajectory

#: It looks along the y axis of the map from (1, 2, 3): x is right, and z of the map is up.
OPTICAL = np.array([[1, 0, 0, 1], [0, 0, 1, 2], [0, -1, 0, 3], [0, 0, 0, 1.0]])
#: The same of OpenGL, whose y axis is up and whose z axis is back.
OPENGL = OPTICAL @ np.diag([1.0, -1.0, -1.0, 1.0])


def write_inria(folder, n=3):
    entry = {'width': 64, 'height': 48, 'fx': 50, 'fy': 50}
    entry |= {'rotation': OPTICAL[:3, :3].tolist(), 'position': OPTICAL[:3, 3].tolist()}
    entries = [{**entry, 'id': i, 'img_name': f'{i:03d}'} for i in range(n)]
    (folder / 'cameras.json').write_text(json.dumps(entries))


def write_nerfstudio(folder, n=3, **more):
    frames = [
        {'file_path': f'images/{i:03d}.png', 'transform_matrix': OPENGL.tolist()} for i in range(n)
    ]
    content = {'w': 64, 'h': 48, 'fl_x': 50, 'fl_y': 50, 'k1': -0.1, 'frames': frames, **more}
    (folder / 'transforms.json').write_text(json.dumps(content))


def write_colmap(folder, n=3):
    model = folder / 'sparse/0'
    model.mkdir(parents=True)
    (model / 'cameras.txt').write_text('1 SIMPLE_PINHOLE 64 48 50 32 24\n')
    # the world in the camera: a turn of 90 degrees about x, q = (cos 45, sin 45, 0, 0)
    t = -OPTICAL[:3, :3].T @ OPTICAL[:3, 3]
    numbers = f'{0.5**0.5} {0.5**0.5} 0 0 {t[0]} {t[1]} {t[2]}'
    lines = [f'{i + 1} {numbers} 1 {i:03d}.png\n\n' for i in range(n)]
    (model / 'images.txt').write_text(''.join(lines))
    (model / 'points3D.txt').write_text('')


@pytest.mark.parametrize('write', [write_inria, write_nerfstudio, write_colmap])
def test_cameras_are_read_without_their_images(tmp_path, write):
    write(tmp_path)
    with pytest.raises(NoImageError, match='no frame whose image exists'):
        open_scene(tmp_path)
    trajectory = read_trajectory(tmp_path)
    np.testing.assert_allclose(trajectory.T_map_cam, np.stack([OPTICAL] * 3), atol=1e-9)
    camera = trajectory.camera
    assert (camera.width, camera.height, camera.fx, camera.cx) == (64, 48, 50, 32)
    assert not camera.distortion
    assert not trajectory.metric


def test_the_file_may_be_given_and_says_whether_it_is_in_metres(tmp_path):
    write_inria(tmp_path)
    write_nerfstudio(tmp_path, n=4, metric=True)
    assert len(read_trajectory(tmp_path / 'cameras.json').T_map_cam) == 3
    trajectory = read_trajectory(tmp_path / 'transforms.json')
    assert len(trajectory.T_map_cam) == 4
    assert trajectory.metric


def test_too_few_cameras_and_none_are_told(tmp_path):
    with pytest.raises(CaldiffError, match=r'lists no cameras, expected transforms\.json'):
        read_trajectory(tmp_path)
    write_inria(tmp_path, n=1)
    with pytest.raises(CaldiffError, match='lists 1 camera, expected at least 2'):
        read_trajectory(tmp_path)
