# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The check of a capture finds what was done to a good one, and nothing in the good one."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from plane_world import look_at
from textured_room import FOCAL, HEIGHT, WIDTH, photograph_room, walk, write_room

from caldiff_ros.scenes import open_scene
from caldiff_ros.scenes.checking import check_capture
from caldiff_ros.scenes.conventions import CONVENTIONS, OPENGL


@pytest.fixture(scope='module')
def room(tmp_path_factory):
    """Twenty-four images of the room, with depth."""
    return open_scene(write_room(tmp_path_factory.mktemp('data') / 'room', walk()))


def with_poses(scene, change):
    """The scene with poses that ``change`` makes of number and pose."""
    frames = [
        replace(frame, T_map_cam=change(i, frame.T_map_cam)) for i, frame in enumerate(scene.frames)
    ]
    return replace(scene, frames=frames)


def with_cameras(scene, change):
    return replace(scene, frames=[replace(f, camera=change(f.camera)) for f in scene.frames])


def with_image(scene, number, image, path):
    """The scene with another image, RGB, for one frame."""
    assert cv2.imwrite(str(path), image[..., ::-1])
    frames = list(scene.frames)
    frames[number] = replace(frames[number], image_path=path)
    return replace(scene, frames=frames)


def image_of(scene, number):
    return cv2.imread(str(scene.frames[number].image_path))[..., ::-1]


def found(report):
    """What spoils a map, by the name of the check."""
    return {row.check: row.text for row in report.findings}


def row(report, check):
    return next(row for row in report.rows if row.check == check)


def test_a_good_capture_has_no_findings(room):
    report = check_capture(room)
    assert {row.level for row in report.rows} == {'fine'}
    assert report.scene is room
    assert report.verdict == 'room can become a map'


def test_one_image_makes_no_map(room):
    report = check_capture(replace(room, frames=room.frames[:1]))
    assert found(report) == {
        'images': 'only one, but a map needs at least 2, better 15 or more; take more'
    }


@pytest.mark.parametrize('written', [c for c in CONVENTIONS if c != OPENGL], ids=str)
def test_poses_in_another_convention_are_read_as_the_images_say(room, written):
    wrong = with_poses(room, lambda i, T: OPENGL.read(written.write(T)))
    report = check_capture(wrong)
    assert found(report) == {}
    assert row(report, 'pose convention').level == 'note'
    assert report.scene.convention == written
    for read, true in zip(report.scene.frames, room.frames, strict=True):
        np.testing.assert_allclose(read.T_map_cam, true.T_map_cam, atol=1e-12)


def test_strictly_another_convention_is_a_finding(room):
    written = CONVENTIONS[0]  # camera-to-world, OpenCV
    wrong = with_poses(room, lambda i, T: OPENGL.read(written.write(T)))
    report = check_capture(wrong, 'strict')
    assert f'agree with {written}, and' in found(report)['pose convention']
    assert report.scene is wrong


@pytest.mark.parametrize('factor', [1.15, 0.85])
def test_a_wrong_focal_length_is_found_with_the_right_one(room, factor):
    wrong = with_cameras(room, lambda c: replace(c, fx=c.fx * factor, fy=c.fy * factor))
    text = found(check_capture(wrong))['intrinsics']
    told = float(text.split('multiply fl_x and fl_y by ')[1].split(',')[0])
    assert told * factor == pytest.approx(1, abs=0.03)


def test_inexact_poses_are_no_other_focal_length(room):
    rng = np.random.default_rng(0)

    def shaken(i, T):
        noise = np.eye(4)
        noise[:3, :3] = cv2.Rodrigues(rng.normal(0, np.radians(0.2), 3))[0]
        return T @ noise

    assert 'intrinsics' not in found(check_capture(with_poses(room, shaken)))


@pytest.mark.parametrize(('factor', 'told'), [(2, '2.00'), (0.5, '0.50')])
def test_intrinsics_of_another_size_are_found(room, factor, told):
    # w and h are wrong, and the reader scales the intrinsics to the size of the file
    def scaled(camera):
        size = round(camera.width * factor), round(camera.height * factor)
        return replace(camera, width=size[0], height=size[1]).resized(camera.width, camera.height)

    text = found(check_capture(with_cameras(room, scaled)))['intrinsics']
    assert f'multiplied by {told},' in text


def test_images_with_another_aspect_than_their_intrinsics_are_found(room):
    frames = list(room.frames)
    camera = frames[7].camera
    frames[7] = replace(frames[7], camera=replace(camera, width=HEIGHT, height=WIDTH))
    report = check_capture(replace(room, frames=frames))
    assert list(found(report)) == ['image sizes']
    assert '1 of 24' in found(report)['image sizes']
    assert 'images/07.png (160x120, its camera 120x160)' in found(report)['image sizes']


def test_exchanged_poses_are_named(room):
    exchanged = {3: 16, 16: 9, 9: 3}
    poses = [frame.T_map_cam for frame in room.frames]
    report = check_capture(with_poses(room, lambda i, T: poses[exchanged.get(i, i)]))
    assert list(found(report)) == ['wrong poses']
    names = 'images/03.png, images/09.png, images/16.png'
    assert f'3 of 24 ({names})' in found(report)['wrong poses']


def test_poses_of_another_capture_are_found(room):
    others = [frame.T_map_cam for frame in room.frames]
    order = np.random.default_rng(0).permutation(len(others))
    report = check_capture(with_poses(room, lambda i, T: others[order[i]]))
    assert 'do not fit the images in any convention' in found(report)['pose convention']


def test_a_mirrored_frame_is_named(room, tmp_path):
    image = np.ascontiguousarray(image_of(room, 11)[:, ::-1])
    report = check_capture(with_image(room, 11, image, tmp_path / 'mirrored.png'))
    assert list(found(report)) == ['mirrored frames']
    assert '1 of 24 (images/11.png)' in found(report)['mirrored frames']


def test_a_zoomed_frame_is_named(room, tmp_path):
    image, _ = photograph_room(walk()[11], focal=1.4 * FOCAL)
    report = check_capture(with_image(room, 11, image, tmp_path / 'zoomed.png'))
    assert list(found(report)) == ['zoomed frames']
    assert '1 of 24 (images/11.png)' in found(report)['zoomed frames']


def test_copies_are_told_and_worse_at_another_pose(room, tmp_path):
    copy = replace(room.frames[5], name='copy')
    report = check_capture(replace(room, frames=[*room.frames, copy]))
    assert found(report) == {}
    assert row(report, 'duplicates').level == 'note'
    assert '1 of 25 (copy)' in row(report, 'duplicates').text

    elsewhere = replace(copy, T_map_cam=room.frames[20].T_map_cam)
    report = check_capture(replace(room, frames=[*room.frames, elsewhere]))
    assert '1 of 25 (copy)' in found(report)['duplicates']


def test_a_blurred_frame_is_told(room, tmp_path):
    image = cv2.GaussianBlur(image_of(room, 11), (0, 0), 5)
    report = check_capture(with_image(room, 11, image, tmp_path / 'blurred.png'))
    assert found(report) == {}
    assert '1 of 24 (images/11.png)' in row(report, 'blurred frames').text


def test_an_image_of_something_else_is_told_as_isolated(room, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    report = check_capture(with_image(room, 11, image, tmp_path / 'else.png'))
    assert '1 of 24 (images/11.png)' in row(report, 'isolated frames').text


def test_a_far_off_pose_is_named(room):
    away = np.array([300.0, 0, 0])

    def moved(i, T):
        T = T.copy()
        T[:3, 3] += away * (i == 4)
        return T

    report = check_capture(with_poses(room, moved))
    assert '1 of 24 (images/04.png)' in found(report)['camera places']


def test_a_far_origin_changes_nothing_else(room):
    T_utm_map = np.eye(4)
    T_utm_map[:3, 3] = [448123.45, 5411234.56, 312.0]
    report = check_capture(with_poses(room, lambda i, T: T_utm_map @ T))
    assert found(report) == {}
    assert [row.check for row in report.rows if row.level == 'note'] == ['origin']
    assert '5429758 units' in row(report, 'origin').text


def test_a_camera_that_only_turns_makes_no_map(tmp_path):
    views = []
    for share in np.linspace(0, 1, 18):
        angle = np.radians(60 * share)
        eye = np.array([0.3, 0.2, -0.4]) + 5e-4 * np.sin([7 * share, 11 * share, 13 * share])
        ahead = np.array([np.sin(angle), 0.1 * np.sin(9 * share), np.cos(angle)])
        views.append(look_at(eye, eye + ahead))
    report = check_capture(open_scene(write_room(tmp_path / 'tripod', views)))
    assert 'the camera only rotates' in found(report)['translation']


def test_a_wrong_depth_scale_is_found(room):
    frames = [replace(frame, depth_unit=10 * frame.depth_unit) for frame in room.frames]
    text = found(check_capture(replace(room, frames=frames)))['depth scale']
    assert float(text.split(' times')[0].split()[-1]) == pytest.approx(10, rel=0.02)


def test_images_without_features_say_nothing(room, tmp_path):
    path = tmp_path / 'grey.png'
    assert cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 128, np.uint8))
    frames = [replace(frame, image_path=path) for frame in room.frames[:6]]
    report = check_capture(replace(room, frames=frames))
    assert 'too few matches to check' in row(report, 'pose convention').text
    assert list(found(report)) == ['duplicates']  # the same image at six poses


def test_a_masked_image_has_features_in_what_is_left_only(room, tmp_path):
    # everything is masked, so that nothing can be matched
    path = tmp_path / 'mask.png'
    assert cv2.imwrite(str(path), np.zeros((HEIGHT, WIDTH), np.uint8))
    frames = [replace(frame, mask_path=path) for frame in room.frames]
    report = check_capture(replace(room, frames=frames))
    assert 'too few matches to check' in row(report, 'pose convention').text


def test_the_reader_tells_its_convention(room, seven_scenes):
    assert str(room.convention) == 'camera-to-world with OpenGL axes (y up, z back)'
    assert str(open_scene(seven_scenes).convention) == (
        'camera-to-world with OpenCV axes (y down, z forward)'
    )
    content = json.loads((room.root / 'transforms.json').read_text())
    for frame, listed in zip(room.frames, content['frames'], strict=True):
        np.testing.assert_allclose(
            room.convention.write(frame.T_map_cam), listed['transform_matrix'], atol=1e-12
        )
