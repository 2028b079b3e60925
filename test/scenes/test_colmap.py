# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""COLMAP folders, written here as COLMAP documents its files."""

import shutil
import struct

import cv2
import numpy as np
import pytest
from PIL import Image
from plane_world import VIEWS_GL, photograph, shows_the_plane, write_png

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes import load_mask, open_scene
from caldiff_ros.scenes.colmap_model import read_model

FLIP = np.diag([1.0, -1.0, -1.0])
NUMBERS = [10, 20, 30, 40]
NAMES = ['b 1.png', 'a.png', 'sub/ü.png', 'c.png']
#: Points on the plane z = 0.
POINTS = np.array([[0.0, 0.0, 0.0], [0.25, -0.5, 0.0], [0.5, 0.125, 0.0]])
#: For each point, the numbers of the images that show it.
TRACKS = [(10, 20, 30), (20, 40), (10, 30, 40)]


def cam_from_map(T_gl):
    """Quaternion (w, x, y, z) and translation of world to optical camera, by Shepperd's method."""
    R = (T_gl[:3, :3] @ FLIP).T
    w = np.sqrt(max(0.0, 1 + np.trace(R))) / 2
    x, y, z = (
        np.copysign(np.sqrt(max(0.0, 1 + 2 * R[i, i] - np.trace(R))) / 2, s)
        for i, s in enumerate((R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]))
    )
    return np.array([w, x, y, z]), -R @ T_gl[:3, 3]


def shown_by(number):
    """Numbers of the points in an image; every second of its features is one."""
    return [p for p, track in enumerate(TRACKS, 1) if number in track]


def track_of(point):
    """Images and features of a point."""
    return [(i, 2 * shown_by(i).index(point)) for i in TRACKS[point - 1]]


def write_text(folder, size=(60, 40), camera='PINHOLE {w} {h} 50 52 29 21'):
    folder.mkdir(parents=True)
    line = '3 ' + camera.format(w=size[0], h=size[1])
    (folder / 'cameras.txt').write_text(f'# Camera list\n{line}\n')
    images = ['# Image list']
    for number, name, T in zip(NUMBERS, NAMES, VIEWS_GL, strict=True):
        q, t = cam_from_map(T)
        pose = ' '.join(f'{v:.17g}' for v in (*q, *t))
        features = ' '.join(f'1.5 2.5 {p} 3.5 4.5 -1' for p in shown_by(number))
        images += [f'{number} {pose} 3 {name}', features]

    (folder / 'images.txt').write_text('\n'.join(images) + '\n', encoding='utf-8')
    points = []
    for n, (x, y, z) in enumerate(POINTS, 1):
        track = ' '.join(f'{i} {feature}' for i, feature in track_of(n))
        points.append(f'{n} {x} {y} {z} 10 20 {n} 0.5 {track}')
    (folder / 'points3D.txt').write_text('\n'.join(points) + '\n')


def write_binary(folder):
    folder.mkdir(parents=True)
    cameras = struct.pack('<QIiQQ4d', 1, 3, 1, 60, 40, 50, 52, 29, 21)
    (folder / 'cameras.bin').write_bytes(cameras)
    images = struct.pack('<Q', 4)
    for number, name, T in zip(NUMBERS, NAMES, VIEWS_GL, strict=True):
        q, t = cam_from_map(T)
        images += struct.pack('<I7dI', number, *q, *t, 3) + name.encode() + b'\0'
        images += struct.pack('<Q', 2 * len(shown_by(number)))
        for p in shown_by(number):
            images += struct.pack('<2dq2dq', 1.5, 2.5, p, 3.5, 4.5, -1)
    (folder / 'images.bin').write_bytes(images)
    points = struct.pack('<Q', 3)
    for n, xyz in enumerate(POINTS, 1):
        points += struct.pack('<Q3d3BdQ', n, *xyz, 10, 20, n, 0.5, len(track_of(n)))
        points += b''.join(struct.pack('<II', *element) for element in track_of(n))
    (folder / 'points3D.bin').write_bytes(points)


def write_photographs(folder, scale=1):
    fx, fy, cx, cy = np.array([50.0, 52.0, 29.0, 21.0]) * scale
    for name, T in zip(NAMES, VIEWS_GL, strict=True):
        color, _ = photograph(T, 60 * scale, 40 * scale, fx, fy, cx, cy)
        write_png(folder / name, color)


@pytest.fixture(params=['text', 'binary'])
def colmap(tmp_path, request):
    """A folder as COLMAP leaves it."""
    root = tmp_path / 'room'
    (write_text if request.param == 'text' else write_binary)(root / 'sparse/0')
    write_photographs(root / 'images')
    return root


def test_images_show_the_plane_where_the_poses_say(colmap):
    scene = open_scene(colmap)
    names = ['images/a.png', 'images/b 1.png', 'images/c.png', 'images/sub/ü.png']
    assert [frame.name for frame in scene.frames] == names
    assert all(shows_the_plane(frame) for frame in scene.frames)
    camera = scene.frames[0].camera
    assert (camera.width, camera.height, camera.fx, camera.fy) == (60, 40, 50, 52)
    assert (camera.cx, camera.cy, camera.distortion_model) == (29, 21, 'none')
    assert (scene.name, scene.root, scene.metric) == ('room', colmap, False)
    # the pose of 'b 1.png' is that of the first photograph
    np.testing.assert_allclose(scene.frames[1].T_map_cam[:3, 3], [0, 0, 3], atol=1e-12)


def test_points_and_which_images_show_them(colmap):
    points = open_scene(colmap).sparse_points()
    np.testing.assert_array_equal(points.xyz, POINTS)
    np.testing.assert_array_equal(points.rgb, [[10, 20, 1], [10, 20, 2], [10, 20, 3]])
    shown = {name: indices.tolist() for name, indices in points.seen_by.items()}
    # images 10, 20, 30, 40 of TRACKS by their names
    assert shown == {
        'images/b 1.png': [0, 2],
        'images/a.png': [0, 1],
        'images/sub/ü.png': [0, 2],
        'images/c.png': [1, 2],
    }


@pytest.mark.parametrize('place', ['sparse', 'colmap/sparse/0', 'colmap', '.'])
def test_where_models_lie(colmap, place):
    shutil.move(colmap / 'sparse/0', colmap / 'model')
    (colmap / 'sparse').rmdir()
    if place == '.':
        for path in (colmap / 'model').iterdir():
            shutil.move(path, colmap)
    else:
        (colmap / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(colmap / 'model', colmap / place)
    assert all(shows_the_plane(frame) for frame in open_scene(colmap).frames)


@pytest.mark.parametrize('place', ['sparse', 'sparse/0'])
def test_the_folder_of_the_model_can_be_opened(colmap, place):
    scene = open_scene(colmap / place)
    assert (scene.root, len(scene.frames)) == (colmap, 4)


def test_images_beside_the_model_or_smaller_ones(colmap, caplog):
    shutil.rmtree(colmap / 'images')
    write_photographs(colmap / 'images_4', scale=1)
    write_photographs(colmap / 'images_2', scale=2)
    scene = open_scene(colmap)
    assert scene.frames[0].name == 'images_2/a.png'
    camera = scene.frames[0].camera
    assert (camera.width, camera.height, camera.fx, camera.cy) == (120, 80, 100, 42)
    assert all(shows_the_plane(frame) for frame in scene.frames)
    assert caplog.text.count('another size than their intrinsics') == 1
    assert '120x80 instead of 60x40' in caplog.text
    shutil.rmtree(colmap / 'images_2')
    shutil.rmtree(colmap / 'images_4')
    write_photographs(colmap)
    assert open_scene(colmap).frames[0].name == 'a.png'


def test_images_that_are_stored_upside_down_stay_so_as_colmap_saw_them(colmap):
    exif = Image.Exif()
    exif[0x0112] = 3
    for path in (colmap / 'images').rglob('*.png'):
        Image.open(path).save(path, exif=exif)
    assert all(shows_the_plane(frame) for frame in open_scene(colmap).frames)


def test_missing_images_are_skipped(colmap, caplog):
    (colmap / 'images/a.png').unlink()
    scene = open_scene(colmap)
    assert scene.frames[0].name == 'images/b 1.png'
    assert '1 of 4 frames' in caplog.text


def test_the_largest_of_several_models_is_read_and_told(colmap, caplog):
    shutil.move(colmap / 'sparse/0', colmap / 'sparse/1')
    write_text(colmap / 'sparse/0')
    lines = (colmap / 'sparse/0/images.txt').read_text().split('\n')
    (colmap / 'sparse/0/images.txt').write_text('\n'.join(lines[:3]) + '\n')
    assert len(open_scene(colmap).frames) == 4
    assert 'sparse/1' in caplog.text


def test_masks_have_the_names_of_their_images_and_one_ending_more(colmap):
    mask = np.full((40, 60), 255, np.uint8)
    mask[:, :20] = 0
    write_png(colmap / 'masks/a.png.png', mask)
    frames = open_scene(colmap).frames
    np.testing.assert_array_equal(load_mask(frames[0]), mask == 255)
    assert load_mask(frames[1]) is None


def test_a_model_without_points_is_one_of_known_poses(colmap):
    for path in (colmap / 'sparse/0').glob('points3D.*'):
        path.unlink()
    scene = open_scene(colmap)
    assert (len(scene.frames), scene.sparse_points()) == (4, None)


#: Models of COLMAP with parameters after the size 60x40, and ours with the coefficients of OpenCV.
CAMERAS = [
    ('SIMPLE_PINHOLE {w} {h} 50 29 21', (50, 50), 'none', ()),
    ('PINHOLE {w} {h} 50 52 29 21', (50, 52), 'none', ()),
    ('SIMPLE_RADIAL {w} {h} 50 29 21 0.1', (50, 50), 'plumb_bob', (0.1, 0, 0, 0, 0)),
    ('RADIAL {w} {h} 50 29 21 0.1 0.2', (50, 50), 'plumb_bob', (0.1, 0.2, 0, 0, 0)),
    (
        'OPENCV {w} {h} 50 52 29 21 0.1 0.2 0.01 0.02',
        (50, 52),
        'plumb_bob',
        (0.1, 0.2, 0.01, 0.02, 0),
    ),
    (
        'FULL_OPENCV {w} {h} 50 52 29 21 0.1 0.2 0.01 0.02 0.3 0.4 0.5 0.6',
        (50, 52),
        'rational_polynomial',
        (0.1, 0.2, 0.01, 0.02, 0.3, 0.4, 0.5, 0.6),
    ),
    (
        'OPENCV_FISHEYE {w} {h} 50 52 29 21 0.1 0.2 0.3 0.4',
        (50, 52),
        'equidistant',
        (0.1, 0.2, 0.3, 0.4),
    ),
    ('SIMPLE_RADIAL_FISHEYE {w} {h} 50 29 21 0.1', (50, 50), 'equidistant', (0.1, 0, 0, 0)),
    ('RADIAL_FISHEYE {w} {h} 50 29 21 0.1 0.2', (50, 50), 'equidistant', (0.1, 0.2, 0, 0)),
    ('SIMPLE_FISHEYE {w} {h} 50 29 21', (50, 50), 'equidistant', (0, 0, 0, 0)),
    ('FISHEYE {w} {h} 50 52 29 21', (50, 52), 'equidistant', (0, 0, 0, 0)),
]
REFUSED = [
    'FOV {w} {h} 50 52 29 21 0.9',
    'THIN_PRISM_FISHEYE {w} {h} 50 52 29 21 0.1 0.2 0.01 0.02 0.3 0.4 0.001 0.002',
    'RAD_TAN_THIN_PRISM_FISHEYE {w} {h} 50 52 29 21' + 12 * ' 0.001',
    'SIMPLE_DIVISION {w} {h} 50 29 21 0.1',
    'DIVISION {w} {h} 50 52 29 21 0.1',
    'EUCM {w} {h} 50 52 29 21 0.5 1.1',
    'EQUIRECTANGULAR {w} {h} {w} {h}',
]


@pytest.fixture
def model_of(tmp_path):
    """Folder of a model with a camera and photographs that do not matter."""

    def write(camera):
        write_text(tmp_path / 'sparse/0', camera=camera)
        write_photographs(tmp_path / 'images')
        return tmp_path

    return write


@pytest.mark.parametrize(('camera', 'focal', 'model', 'coefficients'), CAMERAS)
def test_cameras_become_those_of_opencv(model_of, camera, focal, model, coefficients):
    found = open_scene(model_of(camera)).frames[0].camera
    assert (found.fx, found.fy, found.cx, found.cy) == (*focal, 29, 21)
    assert (found.distortion_model, found.distortion) == (model, coefficients)


@pytest.mark.parametrize('camera', REFUSED)
def test_cameras_that_opencv_does_not_have_are_refused_by_name(model_of, camera):
    with pytest.raises(CaldiffError, match=f'camera model {camera.split()[0]!r} in camera 3 of'):
        open_scene(model_of(camera))


@pytest.mark.parametrize('camera', [entry[0] for entry in CAMERAS] + REFUSED)
def test_pycolmap_and_our_reader_agree(model_of, camera, tmp_path):
    pycolmap = pytest.importorskip('pycolmap')
    text = model_of(camera) / 'sparse/0'
    images = (text / 'images.txt').read_text()
    (text / 'images.txt').write_text(images.replace('b 1.png', 'b1.png'))  # COLMAP cuts it there
    binary = tmp_path / 'binary'
    binary.mkdir()
    theirs = pycolmap.Reconstruction(str(text))
    theirs.write_binary(str(binary))

    for ours in (read_model(text), read_model(binary)):
        assert set(ours.cameras) == set(theirs.cameras)
        for number, camera in ours.cameras.items():
            other = theirs.cameras[number]
            assert camera.model == other.model.name
            assert (camera.width, camera.height) == (other.width, other.height)
            np.testing.assert_array_equal(camera.parameters, other.params)

        assert set(ours.images) == set(theirs.images)
        for number, image in ours.images.items():
            other = theirs.images[number]
            assert (image.name, image.camera_id) == (other.name, other.camera_id)
            pose = other.cam_from_world().matrix()
            np.testing.assert_allclose(image.T_cam_map[:3], pose, atol=1e-14)

        # the blue of a point is its number
        numbers = ours.rgb[:, 2]
        for i, number in enumerate(numbers.tolist()):
            np.testing.assert_array_equal(ours.xyz[i], theirs.points3D[number].xyz)
        shown = {(int(i), int(numbers[p])) for i, p in ours.tracks}
        assert shown == {
            (element.image_id, number)
            for number, point in theirs.points3D.items()
            for element in point.track.elements
        }


@pytest.mark.parametrize('camera', [entry[0] for entry in CAMERAS])
def test_our_camera_projects_as_pycolmap_does(model_of, camera):
    pycolmap = pytest.importorskip('pycolmap')
    root = model_of(camera)
    theirs = pycolmap.Reconstruction(str(root / 'sparse/0')).cameras[3]
    points = np.random.default_rng(0).uniform((-0.4, -0.3, 1.0), (0.4, 0.3, 1.2), (50, 3))
    uv = open_scene(root).frames[0].camera.project(points)
    np.testing.assert_allclose(uv, theirs.img_from_cam(points), atol=1e-6)


def test_cameras_of_several_sizes_each_have_their_own(colmap, tmp_path):
    shutil.rmtree(colmap / 'sparse/0')
    write_text(colmap / 'sparse/0')
    cameras = colmap / 'sparse/0/cameras.txt'
    cameras.write_text(cameras.read_text() + '4 SIMPLE_RADIAL 30 20 25 15 10 0.05\n')
    images = colmap / 'sparse/0/images.txt'
    images.write_text(images.read_text().replace(' 3 a.png', ' 4 a.png'))
    cv2.imwrite(str(colmap / 'images/a.png'), np.zeros((20, 30, 3), np.uint8))
    first, second = (frame.camera for frame in open_scene(colmap).frames[:2])
    assert (first.width, first.fx, first.distortion[0]) == (30, 25, 0.05)
    assert (second.width, second.fx, second.distortion) == (60, 50, ())


@pytest.mark.parametrize(('name', 'n_bytes'), [('cameras', 20), ('images', 25), ('points3D', 50)])
def test_damaged_models_are_refused_with_one_sentence(colmap, name, n_bytes):
    path = next((colmap / 'sparse/0').glob(f'{name}.*'))
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(CaldiffError, match='sparse/0 cannot be read as a COLMAP model') as info:
        open_scene(colmap)
    assert '\n' not in str(info.value)


def test_an_image_without_its_camera_is_refused(colmap):
    shutil.rmtree(colmap / 'sparse/0')
    write_text(colmap / 'sparse/0', camera='PINHOLE {w} {h} 50 52 29 21')
    path = colmap / 'sparse/0/cameras.txt'
    path.write_text(path.read_text().replace('3 PINHOLE', '5 PINHOLE'))
    with pytest.raises(CaldiffError, match='has the camera 3, which the model lacks'):
        open_scene(colmap)
