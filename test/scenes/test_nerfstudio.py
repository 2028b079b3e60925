# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import cv2
import numpy as np
import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes import load_depth, open_scene


def test_global_intrinsics_and_depth_unit(nerfstudio):
    scene = open_scene(nerfstudio)
    assert [f.name for f in scene.frames] == [f'images/{i}.png' for i in range(4)]
    camera = scene.frames[3].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (50, 52, 29, 21)
    assert camera.is_pinhole
    assert scene.frames[0].depth_unit == 1e-4
    # The first camera looks straight down from 3 units above the plane.
    np.testing.assert_allclose(load_depth(scene.frames[0]), 3.0, atol=1e-4)
    assert scene.split(None) == (scene.frames, scene.frames)
    assert (scene.background, scene.metric) == ('none', False)


def test_the_file_itself_can_be_opened(nerfstudio):
    assert len(open_scene(nerfstudio / 'transforms.json').frames) == 4


@pytest.mark.parametrize('metric', [True, False, None])
def test_the_file_may_say_whether_it_is_in_metres(nerfstudio, edit_json, metric):
    edit_json(nerfstudio / 'transforms.json', lambda c: c.update(metric=metric))
    assert open_scene(nerfstudio).metric is bool(metric)


def test_metric_that_is_no_truth_value_is_refused(nerfstudio, edit_json):
    edit_json(nerfstudio / 'transforms.json', lambda c: c.update(metric='no'))
    with pytest.raises(CaldiffError, match=r'"metric" in .* is .no., expected true or false'):
        open_scene(nerfstudio)


def test_intrinsics_of_a_frame_override_those_of_the_file(nerfstudio, edit_json):
    edit_json(
        nerfstudio / 'transforms.json', lambda c: c['frames'][1].update(fl_x=55.0, cx=30.5, k1=0.1)
    )
    first, second = open_scene(nerfstudio).frames[:2]
    assert (first.camera.fx, first.camera.distortion_model) == (50, 'none')
    assert (second.camera.fx, second.camera.fy, second.camera.cx) == (55, 52, 30.5)
    assert second.camera.distortion == (0.1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ('keys', 'model', 'coefficients'),
    [
        (
            {'camera_model': 'OPENCV', 'k1': 0.1, 'k2': 0.2, 'k3': 0.3, 'p1': 0.01, 'p2': 0.02},
            'plumb_bob',
            (0.1, 0.2, 0.01, 0.02, 0.3),
        ),
        ({'camera_model': 'PINHOLE'}, 'none', ()),
        ({'camera_model': 'SIMPLE_RADIAL', 'k1': 0.1}, 'plumb_bob', (0.1, 0, 0, 0, 0)),
        ({'camera_model': 'RADIAL', 'k1': 0.1, 'k2': 0.2}, 'plumb_bob', (0.1, 0.2, 0, 0, 0)),
        (
            {'camera_model': 'FULL_OPENCV', 'k2': 0.2, 'k3': 0.3, 'k6': 0.6, 'p2': 0.02},
            'rational_polynomial',
            (0, 0.2, 0, 0.02, 0.3, 0, 0, 0.6),
        ),
        (
            {'camera_model': 'OPENCV_FISHEYE', 'k1': 0.1, 'k2': 0.2, 'k3': 0.3, 'k4': 0.4},
            'equidistant',
            (0.1, 0.2, 0.3, 0.4),
        ),
        ({'camera_model': 'OPENCV_FISHEYE'}, 'equidistant', (0, 0, 0, 0)),
        ({'camera_model': 'SIMPLE_RADIAL_FISHEYE', 'k1': 0.1}, 'equidistant', (0.1, 0, 0, 0)),
        ({'camera_model': 'RADIAL_FISHEYE', 'k1': 0.1, 'k2': 0.2}, 'equidistant', (0.1, 0.2, 0, 0)),
        ({'is_fisheye': True, 'k1': 0.1, 'p1': 0.0}, 'equidistant', (0.1, 0, 0, 0)),
        ({'is_fisheye': False, 'k1': 0.1}, 'plumb_bob', (0.1, 0, 0, 0, 0)),
        ({'k1': None, 'k2': 0.2, 'k3': None}, 'plumb_bob', (0, 0.2, 0, 0, 0)),
    ],
)
def test_coefficients_are_put_in_the_order_of_opencv(
    nerfstudio, edit_json, keys, model, coefficients
):
    edit_json(nerfstudio / 'transforms.json', lambda c: c.update(keys))
    camera = open_scene(nerfstudio).frames[0].camera
    assert camera.distortion_model == model
    assert camera.distortion == coefficients


def test_size_and_principal_point_default_to_the_image(nerfstudio, edit_json):
    def change(content):
        for key in ('w', 'h', 'cx', 'cy', 'fl_x', 'fl_y'):
            del content[key]
        content['camera_angle_x'] = math.pi / 2

    edit_json(nerfstudio / 'transforms.json', change)
    camera = open_scene(nerfstudio).frames[0].camera
    assert (camera.width, camera.height, camera.cx, camera.cy) == (60, 40, 30, 20)
    assert camera.fx == pytest.approx(30)
    assert camera.fy == pytest.approx(30)


def test_missing_images_are_skipped_with_one_warning_that_counts_them(nerfstudio, caplog):
    (nerfstudio / 'images/0.png').unlink()
    (nerfstudio / 'images/2.png').unlink()
    assert [f.name for f in open_scene(nerfstudio).frames] == ['images/1.png', 'images/3.png']
    assert len(caplog.records) == 1
    assert '2 of 4 frames' in caplog.text


def test_file_lists_of_nerfstudio_are_the_subsets(nerfstudio, edit_json):
    lists = {
        'train_filenames': ['images/0.png', './images/1.png'],
        'test_filenames': ['images/3.png'],
    }
    edit_json(nerfstudio / 'transforms.json', lambda c: c.update(lists))
    train, test = open_scene(nerfstudio).split(None)
    assert [f.name for f in train] == ['images/0.png', 'images/1.png']
    assert [f.name for f in test] == ['images/3.png']


def test_aabb_is_read(nerfstudio, edit_json):
    corners = [[-1, -2, -3], [1, 2, 3]]
    edit_json(nerfstudio / 'transforms.json', lambda c: c.update(aabb=corners))
    np.testing.assert_array_equal(open_scene(nerfstudio).aabb, corners)


def test_what_was_applied_to_the_poses_stays_applied(nerfstudio, edit_json):
    before = [frame.T_map_cam for frame in open_scene(nerfstudio).frames]
    turn = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]]
    applied = {'applied_transform': turn, 'applied_scale': 0.5, 'orientation_override': 'none'}
    edit_json(nerfstudio / 'transforms.json', lambda c: c.update(applied))
    after = [frame.T_map_cam for frame in open_scene(nerfstudio).frames]
    np.testing.assert_array_equal(after, before)


def test_intrinsics_of_another_size_are_scaled_and_told_once(nerfstudio, edit_json, caplog):
    edit_json(
        nerfstudio / 'transforms.json',
        lambda c: c.update(w=240, h=160, fl_x=200.0, fl_y=208.0, cx=116.0, cy=84.0, k1=0.1),
    )
    camera = open_scene(nerfstudio).frames[0].camera
    assert (camera.width, camera.height) == (60, 40)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (50, 52, 29, 21)
    assert camera.distortion[0] == 0.1
    assert len(caplog.records) == 1
    assert '4 of 4 images' in caplog.text and '60x40 instead of 240x160' in caplog.text


def test_null_in_a_frame_leaves_the_value_of_the_file(nerfstudio, edit_json):
    def change(content):
        content['k1'] = 0.1
        content['frames'][0].update(k1=None, fl_x=None, mask_path=None, depth_file_path=None)

    edit_json(nerfstudio / 'transforms.json', change)
    frame = open_scene(nerfstudio).frames[0]
    assert (frame.camera.fx, frame.camera.distortion[0]) == (50, 0.1)
    assert (frame.mask_path, frame.depth_path) == (None, None)


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_byte_order_marks_are_read(nerfstudio, encoding):
    path = nerfstudio / 'transforms.json'
    path.write_text(path.read_text(), encoding=encoding)
    assert len(open_scene(nerfstudio).frames) == 4


def test_a_missing_depth_file_is_a_frame_without_depth(nerfstudio, caplog):
    (nerfstudio / 'depth/2.png').unlink()
    frames = open_scene(nerfstudio).frames
    assert [frame.depth_path is None for frame in frames] == [False, False, True, False]
    assert load_depth(frames[2]) is None
    assert len(caplog.records) == 1
    assert '1 of 4 frames have no depth' in caplog.text


@pytest.mark.parametrize('kind', ['.npy', '.tiff', 'with a channel'])
def test_depth_in_floating_point(nerfstudio, edit_json, kind):
    """What is no positive number is unknown."""
    measured = np.full((40, 60), 3.25, np.float32)
    measured[0, :5] = [np.nan, np.inf, -1.0, 0.0, 70000.0]
    suffix = '.tiff' if kind == '.tiff' else '.npy'
    path = nerfstudio / f'depth/0{suffix}'
    if suffix == '.tiff':
        cv2.imwrite(str(path), measured)
    else:
        np.save(path, measured[..., None] if kind == 'with a channel' else measured)

    edit_json(
        nerfstudio / 'transforms.json',
        lambda c: (
            c.update(depth_unit_scale_factor=2.0),
            c['frames'][0].update(depth_file_path=f'depth/0{suffix}'),
        ),
    )
    depth = load_depth(open_scene(nerfstudio).frames[0])
    assert depth.dtype == np.float32
    assert depth[0, :5].tolist() == [0, 0, 0, 0, 140000]
    assert (depth[1:] == 6.5).all()


def test_far_off_origins_are_exact(nerfstudio, edit_json):
    origin = np.array([448123.456789, 5411234.567891, 312.123456])
    before = [frame.T_map_cam[:3, 3] for frame in open_scene(nerfstudio).frames]

    def change(content):
        for frame in content['frames']:
            for row, offset in enumerate(origin):
                frame['transform_matrix'][row][3] += offset

    edit_json(nerfstudio / 'transforms.json', change)
    after = [frame.T_map_cam[:3, 3] for frame in open_scene(nerfstudio).frames]
    np.testing.assert_allclose(np.array(after) - origin, before, atol=2e-9)


def test_duplicates_are_dropped_and_told_once(nerfstudio, edit_json, caplog):
    def change(content):
        again = [dict(frame, file_path=f'./{frame["file_path"]}') for frame in content['frames']]
        content['frames'] += again

    edit_json(nerfstudio / 'transforms.json', change)
    scene = open_scene(nerfstudio)
    assert [frame.name for frame in scene.frames] == [f'images/{i}.png' for i in range(4)]
    assert '4 of 8 frames are dropped' in caplog.text
    train, test = scene.split('2-2')
    assert len({frame.name for frame in train + test}) == 4
