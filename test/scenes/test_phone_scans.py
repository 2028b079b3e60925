# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exports of Polycam and Record3D, and the cameras of INRIA's Gaussian splatting."""

import json

import numpy as np
import pytest
from plane_world import VIEWS_GL, photograph, shows_the_plane, write_png
from scipy.spatial.transform import Rotation

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes import load_depth, open_scene


def photographs(cx=29.0, cy=21.0):
    return [photograph(T, 60, 40, 50.0, 52.0, cx, cy) for T in VIEWS_GL]


def write_polycam(root, images='corrected_images', cameras='corrected_cameras'):
    for i, (T, (color, depth)) in enumerate(zip(VIEWS_GL, photographs(), strict=True)):
        stem = f'{1000 + i}'
        write_png(root / f'keyframes/{images}/{stem}.png', color)
        write_png(root / f'keyframes/depth/{stem}.png', np.rint(depth * 1e3).astype(np.uint16))
        content = {f't_{row}{column}': T[row, column] for row in range(3) for column in range(4)}
        content |= {'fx': 50, 'fy': 52, 'cx': 29, 'cy': 21, 'width': 60, 'height': 40}
        path = root / f'keyframes/{cameras}/{stem}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content | {'blur_score': 90.0, 'timestamp': 1000 + i}))
    return root


def write_record3d(root, **more):
    """Sizes and intrinsics at twice the size of the images, as the app has it."""
    poses = []
    for i, (T, (color, _)) in enumerate(zip(VIEWS_GL, photographs(), strict=True)):
        write_png(root / f'rgb/{i}.png', color)
        poses.append([*Rotation.from_matrix(T[:3, :3]).as_quat(), *T[:3, 3]])
    K = [100, 0, 0, 0, 104, 0, 58, 42, 1]
    content = {'w': 120, 'h': 80, 'K': K, 'fps': 60, 'poses': poses}
    (root / 'metadata.json').write_text(json.dumps(content | more))
    return root


def write_inria(root, folder='images'):
    entries = []
    for i, (T, (color, _)) in enumerate(zip(VIEWS_GL, photographs(30.0, 20.0), strict=True)):
        write_png(root / folder / f'view {i}.png', color)
        rotation = T[:3, :3] @ np.diag([1.0, -1.0, -1.0])
        entry = {'id': i, 'img_name': f'view {i}', 'width': 60, 'height': 40, 'fx': 50, 'fy': 52}
        entries.append(entry | {'position': T[:3, 3].tolist(), 'rotation': rotation.tolist()})
    (root / 'cameras.json').write_text(json.dumps(entries))
    return root


@pytest.mark.parametrize('write', [write_polycam, write_record3d, write_inria])
def test_images_show_the_plane_where_the_poses_say(write, tmp_path):
    scene = open_scene(write(tmp_path / 'scan'))
    assert len(scene.frames) == 4
    assert all(shows_the_plane(frame) for frame in scene.frames)
    assert (scene.name, scene.metric) == ('scan', write is not write_inria)


def test_polycam_has_depth_in_millimetres_and_names_without_endings(tmp_path):
    frames = open_scene(write_polycam(tmp_path)).frames
    assert [frame.name for frame in frames] == [
        f'keyframes/corrected_images/{1000 + i}' for i in range(4)
    ]
    # the first camera looks straight down from 3 metres
    np.testing.assert_allclose(load_depth(frames[0]), 3.0, atol=1e-3)


def test_polycam_before_its_optimization(tmp_path):
    write_polycam(tmp_path, 'images', 'cameras')
    assert open_scene(tmp_path).frames[0].name == 'keyframes/images/1000'
    write_polycam(tmp_path)
    assert open_scene(tmp_path).frames[0].name == 'keyframes/corrected_images/1000'


def test_polycam_without_some_files(tmp_path, caplog):
    write_polycam(tmp_path)
    (tmp_path / 'keyframes/corrected_images/1001.png').unlink()
    (tmp_path / 'keyframes/depth/1002.png').unlink()
    frames = open_scene(tmp_path).frames
    assert [frame.depth_path is None for frame in frames] == [False, True, False]
    assert '1 of 4 frames are skipped' in caplog.text
    path = tmp_path / 'keyframes/corrected_cameras/1000.json'
    path.write_text('{"fx": 50}')
    with pytest.raises(CaldiffError, match=r"1000\.json has no 't_00'"):
        open_scene(tmp_path)


def test_record3d_with_intrinsics_of_each_image(tmp_path):
    each = [[100 + i, 104, 58, 42] for i in range(4)]
    frames = open_scene(write_record3d(tmp_path, perFrameIntrinsicCoeffs=each)).frames
    assert [frame.camera.fx for frame in frames] == [50, 50.5, 51, 51.5]
    assert [frame.name for frame in frames] == [f'rgb/{i}' for i in range(4)]


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        ({'K': [1, 2]}, 'not understood'),
        ({'poses': [[0, 0, 0, 0, 1, 2, 3]]}, 'not finite'),
        ({'perFrameIntrinsicCoeffs': [[1, 1, 1, 1]]}, 'other intrinsics than poses'),
    ],
)
def test_broken_metadata_of_record3d(tmp_path, change, says):
    with pytest.raises(CaldiffError, match=says):
        open_scene(write_record3d(tmp_path, **change))


@pytest.mark.parametrize('folder', ['images', 'input', '.'])
def test_images_of_inria_are_found_by_name(tmp_path, folder):
    scene = open_scene(write_inria(tmp_path, folder) / 'cameras.json')
    assert [frame.name for frame in scene.frames] == [f'view {i}' for i in range(4)]


@pytest.mark.parametrize('content', [{}, [3], [{'id': 0}]])
def test_broken_cameras_of_inria(tmp_path, content):
    (tmp_path / 'cameras.json').write_text(json.dumps(content))
    with pytest.raises(CaldiffError, match=r'cameras\.json'):
        open_scene(tmp_path)


@pytest.mark.parametrize('write', [write_polycam, write_record3d, write_inria])
def test_numbers_in_splits_count_the_images(write, tmp_path):
    write(tmp_path)
    (tmp_path / 'splits.json').write_text(json.dumps({'a': [{'train': [0, 2], 'test': [3]}]}))
    scene = open_scene(tmp_path)
    train, test = scene.split('a')
    assert [scene.frames.index(frame) for frame in train + test] == [0, 2, 3]
