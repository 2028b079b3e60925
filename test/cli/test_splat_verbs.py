# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Options of maps that are made of splats, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from splat_world import inside, room

from caldiff_ros.cli import main
from caldiff_ros.cli.build_map import Arguments
from caldiff_ros.cli.splat_options import SplatOptions, camera_of
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.transforms import upright
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.splats.writing import write_splat
from maps import make_map

#: Points that are 5 apart.
APART = ['--scale-points', '1', '-2', '0.5', '4', '2', '0.5']
TURNED = [[0, -2, 0, 1], [2, 0, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1]]


@pytest.fixture(scope='module')
def ply(tmp_path_factory):
    path = tmp_path_factory.mktemp('splats') / 'scene.ply'
    write_splat(room(300), path)
    return path


@pytest.mark.parametrize(
    ('argv', 'said'),
    [
        (['--splat', 'PLY', '--nerf', 'run/config.yml'], 'expected one field'),
        (['VIDEO', '--splat', 'PLY'], 'expected a dataset with poses in the frame of the splat'),
        (['--splat', 'missing.ply'], 'missing.ply cannot be read'),
        (['--splat', 'PLY', '--trained-at', 'large'], "--trained-at is 'large'"),
        (['--splat', 'PLY', '--trained-at', '0x0'], "--trained-at is '0x0'"),
        (['--splat', 'PLY', '--transform', '1 2 3'], "--transform is '1 2 3'"),
        (['--splat', 'PLY', '--transform', ' '.join(['1'] * 16)], 'is not a similarity'),
        (['--splat', 'PLY', '--camera-fov', '180'], '--camera-fov is 180.0'),
        (['--splat', 'PLY', '--up', 'w'], "the upward direction is 'w'"),
        (['--splat', 'PLY', '--up', '0,0,0'], "the upward direction is '0,0,0'"),
        (['--trained-at', '80x60'], '--trained-at is given without --splat'),
        (['--splat', 'PLY', '--scale', '-1'], 'the scale is -1.0, expected metres per unit'),
        (['--splat', 'PLY', *APART], '--scale-points is given without --scale-distance'),
        (['--splat', 'PLY', '--scale-distance', '2'], 'given without --scale-points'),
        (['--splat', 'PLY', *APART, '--scale-distance', '0'], '--scale-distance is 0.0'),
        (['--splat', 'PLY', *APART, '--scale-distance', 'nan'], '--scale-distance is nan'),
        (
            ['--splat', 'PLY', '--scale-distance', '2', '--scale-points', *('1', '2', '3') * 2],
            'the points of --scale-points 1 2 3 1 2 3 are 0 apart',
        ),
        (
            ['--splat', 'PLY', *APART, '--scale-distance', '2', '--scale', '1'],
            'the scale is given twice, by --scale 1.0 and by --scale-points',
        ),
        ([*APART, '--scale-distance', '2'], '--scale-points --scale-distance is given without'),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(ply, tmp_path, capsys, argv, said):
    video = tmp_path / 'walk.mp4'
    video.write_bytes(b'')
    names = {'PLY': str(ply), 'VIDEO': str(video)}
    argv = [names.get(word, word) for word in argv]
    assert main(['build-map', *argv, '--output', str(tmp_path / 'map'), '--device', 'cpu']) == 2
    err = capsys.readouterr().err
    assert said in err
    assert 'Traceback' not in err
    assert not (tmp_path / 'map').exists()


def write_cameras(path, poses=None, size=(80, 60)):
    """INRIA's file for images that are not there."""
    poses = inside(8) if poses is None else poses
    shape = {'width': size[0], 'height': size[1], 'fx': 60, 'fy': 60}
    entries = [
        {**shape, 'id': i, 'img_name': f'{i}', 'position': t, 'rotation': R}
        for i, (R, t) in enumerate(zip(poses.R.tolist(), poses.t.tolist(), strict=True))
    ]
    path.write_text(json.dumps(entries))
    return path


def test_cameras_without_images_are_where_renders_are_from(tmp_path):
    write_splat(room(6000), tmp_path / 'scene.ply')
    arguments = Arguments(
        data=write_cameras(tmp_path / 'cameras.json'),
        splat=SplatOptions(splat=tmp_path / 'scene.ply'),
        output=tmp_path / 'map',
        device='cpu',
    )
    data, config = arguments.load()
    assert len(data.views) == 8
    assert not data.frames and not config.field.is_given
    assert (data.camera.width, data.camera.height, data.camera.fx) == (80, 60, 60)
    with pytest.raises(CaldiffError, match='--split 4-4 is given and there is no image'):
        replace(arguments, split='4-4').load()


def test_the_camera_to_be_localized_is_given_by_its_calibration(tmp_path):
    """Without distortion; without a size the principal point is the middle."""
    path = tmp_path / 'camera.json'
    content = {'w': 960, 'h': 540, 'fl_x': 450, 'fl_y': 451, 'cx': 479, 'cy': 272, 'k1': 0.1}
    path.write_text(json.dumps(content))
    expected = Camera(960, 540, 450.0, 451.0, 479.0, 272.0)
    assert SplatOptions(camera_info=str(path)).camera() == expected
    numbers = SplatOptions(camera_info='500,501,320,240').camera()
    assert numbers == Camera(640, 480, 500.0, 501.0, 320.0, 240.0)
    path.write_text(json.dumps({'fl_x': 450, 'cx': None}))
    with pytest.raises(CaldiffError, match=r'camera\.json has neither w and h nor numbers cx'):
        SplatOptions(camera_info=str(path)).camera()
    with pytest.raises(CaldiffError, match='--camera-fov 70 are given, expected one of them'):
        SplatOptions(camera_info='500,501,320,240', camera_fov=70).camera()
    with pytest.raises(CaldiffError, match=r'the camera is .*, expected a positive size'):
        SplatOptions(camera_info='500,500,0,0').camera()


@pytest.mark.parametrize('form', ['numbers', 'commas', 'text file', 'json file'])
def test_transforms_are_numbers_or_files(ply, tmp_path, form):
    numbers = [str(number) for row in TURNED for number in row]
    given = {'numbers': ' '.join(numbers), 'commas': ','.join(numbers)}.get(form)
    if given is None:
        path = tmp_path / 'transform'
        path.write_text(json.dumps(TURNED) if form == 'json file' else '\n'.join(numbers))
        given = str(path)
    before = SplatOptions(splat=ply).read(None)
    after = SplatOptions(splat=ply, transform=given).read(None)
    x, y, z = before.means.T
    wanted = np.stack([1 - 2 * y, 2 + 2 * x, 3 + 2 * z], axis=1)
    np.testing.assert_allclose(after.means, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ('given', 'focal_px'),
    [('320x240', 277.128), ('240x320', 277.128), ('500', 500.0), (None, None)],
)
def test_the_trained_size_is_that_of_images_or_a_focal_length(ply, given, focal_px):
    """320 pixels that see 60 degrees: 160 / tan(30 deg)."""
    options = SplatOptions(splat=ply, trained_at=given)
    source = options.source(options.read(None), camera_of(60.0))
    assert source.name == 'scene.ply'
    assert source.focal_px == (None if focal_px is None else pytest.approx(focal_px, abs=1e-3))


@pytest.mark.parametrize(
    ('transform', 'expected'),
    [(None, 0.5), (' '.join(str(x) for row in TURNED for x in row), 0.25)],
)
def test_the_scale_follows_from_two_points_of_the_file(tmp_path, transform, expected):
    """2.5 m between points that are 5 apart in the file, and 10 in the frame twice as large."""
    points = tuple(float(word) for word in APART[1:])
    options = SplatOptions(
        splat=Path('scene.ply'), transform=transform, scale_points=points, scale_distance=2.5
    )
    assert options.metres_per_unit() == pytest.approx(expected)
    built = make_map()
    Arguments(splat=options, output=tmp_path / 'map').save(built)
    saved = LocalizationMap.load(tmp_path / 'map')
    assert saved.metric
    assert saved.scale == pytest.approx(expected)


@pytest.mark.parametrize('up', ['x', '-x', 'y', '-y', 'z', '-z', '0.1,-0.9,0.3', '0,0,-2'])
def test_a_map_is_turned_so_that_up_is_z(up):
    axes = {'x': [1, 0, 0], 'y': [0, 1, 0], 'z': [0, 0, 1]}
    axes |= {f'-{name}': [-c for c in axis] for name, axis in axes.items()}
    direction = np.array(axes.get(up) or [float(c) for c in up.split(',')])
    T = upright(up)
    np.testing.assert_allclose(
        T[:3, :3] @ direction / np.linalg.norm(direction), [0, 0, 1], atol=1e-9
    )
    np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(T) == pytest.approx(1)
    np.testing.assert_array_equal(upright(None), np.eye(4))


def test_an_option_of_the_wrong_kind_names_what_is_expected():
    with pytest.raises(CaldiffError, match='such as 1600x1200, or their focal length in pixels'):
        SplatOptions(trained_at='-5').source(room(300), camera_of(60.0))
