# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
from plane_world import VIEWS_GL, write_png

from caldiff_ros.scenes import load_depth, load_image, open_scene


def test_the_published_layout(seven_scenes):
    scene = open_scene(seven_scenes)
    assert [f.name for f in scene.frames] == [
        'seq-01/frame-000000',
        'seq-01/frame-000001',
        'seq-02/frame-000000',
        'seq-02/frame-000001',
    ]
    # f = 525 at 640 pixels of width, here a tenth of it.
    camera = scene.frames[0].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (52.5, 52.5, 32, 24)
    assert scene.metric
    np.testing.assert_allclose(scene.frames[2].T_map_cam[:3, 3], VIEWS_GL[2][:3, 3], atol=1e-7)


def test_the_published_split_is_by_sequence(seven_scenes):
    train, test = open_scene(seven_scenes).split(None)
    assert {f.name.split('/')[0] for f in train} == {'seq-02'}
    assert {f.name.split('/')[0] for f in test} == {'seq-01'}


def test_without_split_files_all_frames_are_test_frames(seven_scenes):
    (seven_scenes / 'TestSplit.txt').unlink()
    (seven_scenes / 'TrainSplit.txt').unlink()
    scene = open_scene(seven_scenes)
    assert scene.test_frames() == scene.frames
    assert scene.split(None) == (scene.frames, scene.frames)


def test_camera_json_and_jpeg_take_precedence(seven_scenes):
    camera = {'fl_x': 50.0, 'fl_y': 51.0, 'cx': 31.0, 'cy': 25.0, 'w': 64, 'h': 48}
    (seven_scenes / 'camera.json').write_text(json.dumps(camera))
    gray = np.full((48, 64, 3), 90, np.uint8)
    cv2.imwrite(str(seven_scenes / 'seq-01/frame-000000.color.jpg'), gray)
    frame = open_scene(seven_scenes).frames[0]
    assert (frame.camera.fx, frame.camera.fy, frame.camera.cx, frame.camera.cy) == (50, 51, 31, 25)
    np.testing.assert_array_equal(load_image(frame), gray)
    # The depth camera stays the published one, f = 585 at 640.
    assert frame.depth_camera.fx == 58.5


def test_zero_and_saturated_depth_are_unknown(seven_scenes):
    counts = np.full((48, 64), 1500, np.uint16)
    counts[20:22, 30:34] = 0
    counts[25:27, 30:34] = 65535
    write_png(seven_scenes / 'seq-01/frame-000000.depth.png', counts)
    frame = open_scene(seven_scenes).frames[0]
    depth = load_depth(frame, frame.depth_camera)
    np.testing.assert_allclose(depth, np.where(counts == 1500, 1.5, 0), rtol=1e-6)


def test_depth_beyond_the_depth_image_is_unknown(seven_scenes):
    # The colour camera (f = 52.5) sees wider than the depth camera (f = 58.5): u of the depth image
    # is 32 + 58.5 / 52.5 (i + 0.5 - 32), which is negative up to pixel 2.
    depth = load_depth(open_scene(seven_scenes).frames[0])
    assert depth.shape == (48, 64)
    assert (depth[:, :3] == 0).all()
    np.testing.assert_allclose(depth[3:-3, 3:-3], 3.0, atol=1e-3)


def test_frames_without_depth_or_image(seven_scenes, caplog):
    (seven_scenes / 'seq-01/frame-000000.depth.png').unlink()
    (seven_scenes / 'seq-02/frame-000001.color.png').unlink()
    frames = open_scene(seven_scenes).frames
    assert len(frames) == 3
    assert load_depth(frames[0]) is None
    assert '1 of 4 frames' in caplog.text


def test_one_sequence_opens_on_its_own(seven_scenes):
    scene = open_scene(seven_scenes / 'seq-02')
    assert [f.name for f in scene.frames] == ['frame-000000', 'frame-000001']
