# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Data that cannot be used is refused with one sentence."""

import shutil

import numpy as np
import pytest
from plane_world import write_png

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes import load_depth, load_image, open_scene


def refuse(path, says):
    with pytest.raises(CaldiffError, match=says) as info:
        open_scene(path)
    assert '\n' not in str(info.value)


def set_pose(frame, row, column, value):
    frame['transform_matrix'][row][column] = value


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (lambda c: set_pose(c['frames'][1], 0, 3, float('nan')), 'frame 1 .* not finite'),
        (lambda c: set_pose(c['frames'][2], 1, 1, 7.0), 'frame 2 .* not rigid'),
        (lambda c: c['frames'][0].update(transform_matrix=[[1, 0], [0, 1]]), 'shape'),
        (lambda c: c['frames'][0].update(transform_matrix='none'), 'pose of frame 0'),
        (lambda c: c['frames'][0].pop('transform_matrix'), 'pose of frame 0'),
        (lambda c: c['frames'][0].pop('file_path'), 'file_path'),
        (lambda c: c.update(frames=[]), 'no frame'),
        (lambda c: c.pop('frames'), '"frames"'),
        (lambda c: c.pop('fl_x'), 'fl_x'),
        (lambda c: c.update(fl_x='wide'), 'not numbers'),
        (lambda c: c.update(camera_model='EQUIRECTANGULAR'), 'EQUIRECTANGULAR'),
        (lambda c: c.update(k4=0.1), 'k4'),
        (lambda c: c.update(camera_model='OPENCV_FISHEYE', p1=0.1), 'p1'),
        (lambda c: c.update(camera_model='FISHEYE624'), 'FISHEYE624'),
        (lambda c: c.update(ftheta_p0=0.1), 'ftheta_p0'),
        (lambda c: c.update(w=float('nan')), 'not numbers'),
        (lambda c: c.update(train_filenames='images/0.png'), 'train_filenames'),
        (lambda c: set_pose(c['frames'][3], 3, 0, 0.5), r'last row .* frame 3 .* \[0\.5, 0\.0'),
        (lambda c: c.update(depth_unit_scale_factor=-1), 'depth_unit_scale_factor'),
        (lambda c: c.update(aabb=[[1, 1, 1], [0, 0, 0]]), 'aabb'),
    ],
)
def test_broken_transforms(nerfstudio, edit_json, change, says):
    edit_json(nerfstudio / 'transforms.json', change)
    refuse(nerfstudio, says)


def test_mirrored_poses(nerfstudio, edit_json):
    def mirror(content):
        for row in content['frames'][0]['transform_matrix'][:3]:
            row[0] *= -1

    edit_json(nerfstudio / 'transforms.json', mirror)
    refuse(nerfstudio, 'not rigid')


def test_small_numerical_errors_of_a_rotation_are_repaired(nerfstudio, edit_json):
    edit_json(nerfstudio / 'transforms.json', lambda c: set_pose(c['frames'][0], 0, 0, 1.0 + 1e-4))
    R = open_scene(nerfstudio).frames[0].T_map_cam[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-14)


@pytest.mark.parametrize('text', ['{"frames": [', '[1, 2]', ''])
def test_unreadable_json(nerfstudio, text):
    (nerfstudio / 'transforms.json').write_text(text)
    refuse(nerfstudio, 'transforms.json')


def test_missing_image_folder(nerfstudio):
    shutil.rmtree(nerfstudio / 'images')
    refuse(nerfstudio, 'image')


def test_no_folder_and_no_dataset(tmp_path):
    refuse(tmp_path / 'nowhere', 'does not exist')
    refuse(tmp_path, 'no dataset')


@pytest.mark.parametrize('text', ['nan ' * 16, '1 0 0 0', 'lost', ''])
def test_broken_pose_files(seven_scenes, text):
    (seven_scenes / 'seq-01/frame-000001.pose.txt').write_text(text)
    refuse(seven_scenes, 'frame-000001.pose.txt')


def test_broken_pixels(nerfstudio):
    (nerfstudio / 'images/0.png').write_bytes(b'not a picture')
    write_png(nerfstudio / 'images/1.png', np.zeros((40, 40, 3), np.uint8))
    write_png(nerfstudio / 'depth/3.png', np.zeros((40, 60, 3), np.uint8))
    frames = open_scene(nerfstudio).frames
    with pytest.raises(CaldiffError, match=r'0\.png is not a readable image'):
        load_image(frames[0])
    with pytest.raises(CaldiffError, match='40x40 pixels but its camera is 60x40'):
        load_image(frames[1])
    with pytest.raises(CaldiffError, match='not a depth image'):
        load_depth(frames[3])
