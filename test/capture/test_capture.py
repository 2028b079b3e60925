# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From pictures to a dataset, against the poses that the pictures were rendered from."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from room_corner import CAMERA, arc, compare, printed, write_jpeg, write_video

from caldiff_ros.capture.capture import Capture
from caldiff_ros.capture.config import CaptureConfig
from caldiff_ros.capture.scale import MeasuredDistance
from caldiff_ros.capture.targets import Charuco, Tags, TargetScale
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry.similarity import Similarity
from caldiff_ros.scenes import open_scene

pycolmap = pytest.importorskip('pycolmap')

CONFIG = CaptureConfig(max_keypoints=400)


def make(source, output, **options):
    return Capture(source, output, CONFIG, threads=1, **options)


@pytest.fixture(scope='module')
def captured(photos, tmp_path_factory):
    """A dataset of the photos in metres, and the report."""
    source, poses = photos
    output = tmp_path_factory.mktemp('data') / 'room'
    places = [poses[name][:3, 3] for name in ('00.jpg', '08.jpg')]
    distance = MeasuredDistance('00', '08.jpg', float(np.linalg.norm(places[0] - places[1])))
    return output, make(source, output, scale=distance).run()


@pytest.fixture
def few(photos, tmp_path):
    """A folder of five of the photos, which takes half the time."""
    folder = tmp_path / 'few'
    folder.mkdir()
    for name in sorted(photos[1])[:5]:
        shutil.copy(photos[0] / name, folder)
    return folder


def test_photos_become_a_dataset_with_the_poses_they_were_taken_from(captured, photos):
    output, report = captured
    scene = open_scene(output)
    assert len(scene.frames) == report.n_registered == report.n_pictures == 9
    fitted, off_m, angles = compare(scene, photos[1])
    assert np.median(off_m) < 0.01 and np.median(angles) < 0.3
    assert fitted.scale == pytest.approx(1, abs=0.01)  # the distance that was given
    assert scene.metric
    assert scene.frames[0].camera.fx == pytest.approx(CAMERA.fx, rel=0.02)
    assert report.reprojection_error_px < 1 and not report.lost and not report.unreadable


def test_up_is_the_mean_up_vector_of_the_cameras(captured, photos):
    found = np.array([frame.T_map_cam for frame in open_scene(captured[0]).frames])
    up = -found[:, :3, 1].mean(axis=0)
    assert up / np.linalg.norm(up) == pytest.approx([0, 0, 1], abs=1e-6)
    assert found[:, :3, 3].mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-6)
    true_up = -np.array(list(photos[1].values()))[:, :3, 1]
    mean = true_up.mean(axis=0) / np.linalg.norm(true_up.mean(axis=0))
    expected = np.median(np.degrees(np.arccos(true_up @ mean)))
    assert captured[1].gravity.deviation_deg == pytest.approx(expected, abs=0.5)


def test_the_colmap_model_is_in_the_same_coordinates(captured):
    output = captured[0]
    model = pycolmap.Reconstruction(str(output / 'sparse/0'))
    for frame in open_scene(output).frames:
        image = model.find_image_with_name(frame.image_path.name)
        T_map_cam = image.cam_from_world().inverse().matrix()
        np.testing.assert_allclose(frame.T_map_cam[:3], T_map_cam, atol=1e-9)
        point = next(p for p in image.points2D if p.has_point3D())
        xyz = model.points3D[point.point3D_id].xyz
        seen_at = frame.camera.project((xyz - T_map_cam[:, 3])[None] @ T_map_cam[:, :3])[0]
        assert np.linalg.norm(seen_at - point.xy) < 4


def test_nothing_but_the_dataset_stays(captured):
    output, report = captured
    assert [path.name for path in output.parent.iterdir()] == ['room']
    names = sorted(path.name for path in output.iterdir())
    assert names == ['capture.json', 'images', 'sparse', 'transforms.json']
    content = json.loads((output / 'capture.json').read_text())
    assert content['n_registered'] == 9
    assert content['scale']['how'] in '\n'.join(report.lines())


def test_more_photos_than_all_pairs_are_made_of_are_matched_with_look_alikes(few, tmp_path):
    told = []
    config = replace(CONFIG, exhaustive_up_to=4, overlap=1, look_alikes=1)
    report = Capture(
        few, tmp_path / 'room', config, threads=1, report=lambda *progress: told.append(progress)
    ).run()
    assert report.n_registered == 5
    assert [row for row in told if row[0] == 'pairs'] == [
        ('pairs', number, 5, {}) for number in range(1, 6)
    ]
    # four neighbours, and of the six other pairs one for each photo
    n_pairs = next(n for stage, _, n, _ in told if stage == 'matches')
    assert 4 + 3 <= n_pairs <= 4 + 5


def test_what_cannot_be_used_is_told_and_the_rest_is_done(photos, room, tmp_path):
    source = tmp_path / 'photos'
    for number, T in enumerate(arc(6)):
        write_jpeg(source / f'{number} a.jpg', room.photograph(T))
    write_jpeg(source / '3 b.jpg', np.full((240, 320, 3), 200, np.uint8))
    whole = (source / '5 a.jpg').read_bytes()
    (source / '5 a.jpg').write_bytes(whole[: len(whole) // 2])
    report = make(source, tmp_path / 'room').run()
    assert report.n_pictures == 6 and report.n_registered == 5
    [part] = report.lost
    assert (part.first, part.count) == ('3_b.jpg', 1) and 'blurred' in part.why
    [sentence] = report.unreadable
    assert '5 a.jpg is skipped because it cannot be read' in sentence
    assert not (tmp_path / 'room/images/3_b.jpg').exists()


class Stop:
    """Interrupts a capture at a stage, and remembers the stages that were reported."""

    def __init__(self, stage=None):
        self.stage = stage
        self.told = []

    def __call__(self, stage, step, n_steps, numbers):
        self.told.append((stage, step))
        if stage == self.stage:
            raise KeyboardInterrupt


def test_a_stopped_capture_goes_on_where_it_was(photos, tmp_path):
    source, poses = photos
    output = tmp_path / 'room'
    with pytest.raises(KeyboardInterrupt):
        make(source, output, report=Stop('matches')).run()
    assert not output.exists()
    second = Stop()
    make(source, output, report=second).run()
    assert {stage for stage, _ in second.told} == {'poses'}
    _, off_m, _ = compare(open_scene(output), poses)
    assert np.median(off_m) < 0.01


@pytest.mark.parametrize('board', [False, True])
def test_the_scale_comes_from_what_is_printed(room, tmp_path, board):
    if board:
        target = Charuco(5, 4, square_m=0.24, marker_m=0.18)
        image = target.board.generateImage((5 * 61, 4 * 61))
        width_m = 5 * 0.24
    else:
        target = Tags(0.6)
        image = target.dictionary.generateImageMarker(7, 154)
        width_m = 0.6
    posted = printed(room, image, width_m)
    for number, T in enumerate(arc(6)):
        write_jpeg(tmp_path / f'photos/{number}.jpg', posted.photograph(T))
    report = make(tmp_path / 'photos', tmp_path / 'room', scale=TargetScale(target)).run()
    eyes = np.array([T[:3, 3] for T in arc(6)])
    found = np.array([frame.T_map_cam[:3, 3] for frame in open_scene(tmp_path / 'room').frames])
    assert Similarity.fit(eyes, found).scale == pytest.approx(1, abs=0.01)
    assert 'printed targets (1) in 6 images' in report.scale.how


def test_a_target_that_nobody_sees_is_missed_and_the_poses_are_kept(few, tmp_path):
    with pytest.raises(CaldiffError, match='the printed target is in 0 images with a pose'):
        make(few, tmp_path / 'room', scale=TargetScale(Tags(0.1))).run()
    assert not (tmp_path / 'room').exists()
    again = Stop()
    make(few, tmp_path / 'room', report=again).run()
    assert again.told == []


def test_a_video_becomes_a_dataset(room, tmp_path):
    poses = arc(30)
    write_video(tmp_path / 'walk.avi', [room.photograph(T) for T in poses])
    capture = make(tmp_path / 'walk.avi', tmp_path / 'room')
    capture = replace(capture, config=replace(CONFIG, max_frames=8))
    report = capture.run()
    assert report.n_registered == report.n_pictures == 8
    by_name = {f'frame_{number:06d}.jpg': T for number, T in enumerate(poses)}
    _, off_m, angles = compare(open_scene(tmp_path / 'room'), by_name)
    assert np.median(off_m) < 0.02 and np.median(angles) < 0.5


def test_pictures_that_share_nothing_are_explained(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        write_jpeg(tmp_path / f'photos/{number}.jpg', rng.integers(0, 256, (120, 160, 3), np.uint8))
    with pytest.raises(CaldiffError, match='no 3 of the 3 images that fit together'):
        make(tmp_path / 'photos', tmp_path / 'room').run()
    assert not (tmp_path / 'room').exists()


def test_a_full_disk_is_one_sentence_and_the_capture_goes_on_later(few, tmp_path, full_disk):
    capture = make(few, tmp_path / 'room')
    with full_disk(400_000), pytest.raises(CaldiffError, match='COLMAP was terminated'):
        capture.run()
    assert not capture.output.exists() and capture.work.is_dir()
    assert capture.run().n_registered == 5
