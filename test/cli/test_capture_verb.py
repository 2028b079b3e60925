# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`caldiff capture`: its arguments; what it makes is tested in test/capture."""

import shutil
import sys

import numpy as np
import pytest
from room_corner import CAMERA, Room, arc, write_jpeg

from caldiff_ros.cli import build_map, main
from caldiff_ros.scenes import open_scene


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photos')
    room = Room()
    for number, T in enumerate(arc(6)):
        write_jpeg(folder / f'{number}.jpg', room.photograph(T))
    return folder


def test_a_dataset_is_made_and_told_of(photos, tmp_path, capsys):
    pytest.importorskip('pycolmap')
    output = tmp_path / 'room'
    argv = ['capture', str(photos), '--output', str(output), '--threads', '1']
    assert main([*argv, '--max-keypoints', '400', '--distance', '0.jpg', '5.jpg', '2.0']) == 0
    out, err = capsys.readouterr()
    assert '6 of 6 pictures have a pose' in out
    assert 'scale: metres, from 2.0 m between 0.jpg and 5.jpg' in out
    assert 'up (z) is the mean up vector of the cameras' in out
    assert 'poses 6/6' in err
    assert (output / 'transforms.json').is_file() and (output / 'sparse/0/images.bin').is_file()


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        (['--tag-size', '0.1', '--gps'], 'the scale is given 2 times'),
        (['--charuco', '7x5'], "the board is '7x5', expected COLUMNSxROWS"),
        (['--charuco', '7x5:0.04:0.05:4x4'], 'markers smaller than squares'),
        (['--charuco', '7x5:0.04:0.03:9x9'], "have '9x9' bits"),
        (['--tag-size', '-1'], 'the edge of the tag is -1.0 m'),
        (['--overlap', '0'], 'overlap is 0, expected a positive number'),
    ],
)
def test_a_wrong_argument_is_explained(photos, tmp_path, capsys, changes, sentence):
    output = tmp_path / 'room'
    assert main(['capture', str(photos), '--output', str(output), *changes]) == 2
    err = capsys.readouterr().err
    assert sentence in err and err.count('\n') == 1
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_not_replaced(photos, tmp_path, capsys):
    (tmp_path / 'thesis.tex').write_text('')
    assert main(['capture', str(photos), '--output', str(tmp_path)]) == 2
    assert 'exists and is not a capture' in capsys.readouterr().err
    assert (tmp_path / 'thesis.tex').is_file()


def test_a_source_that_is_not_there_is_explained(tmp_path, capsys):
    assert main(['capture', str(tmp_path / 'walk.mp4'), '--output', str(tmp_path / 'room')]) == 2
    assert 'does not exist, expected a video or a folder of photos' in capsys.readouterr().err


def test_without_colmap_one_learns_what_to_install(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycolmap', None)
    assert main(['capture', str(photos), '--output', str(tmp_path / 'room')]) == 2
    assert 'pip install "caldiff_ros[capture]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


class BuiltError(Exception):
    """The build that is begun."""


@pytest.fixture
def build(photos, tmp_path, monkeypatch):
    """`caldiff build-map` of the photos up to where training begins."""

    def train(data, config, context):
        assert len(data.views) == 6
        raise BuiltError

    monkeypatch.setattr(build_map, 'build_map', train)
    output = str(tmp_path / 'map')
    return lambda *options: main(['build-map', str(photos), '--output', output, *options])


def test_build_map_makes_the_dataset_first_and_only_once(build, tmp_path):
    pytest.importorskip('pycolmap')
    with pytest.raises(BuiltError):
        build()
    written = (tmp_path / 'map-data/transforms.json').stat().st_mtime_ns
    with pytest.raises(BuiltError):
        build()
    assert (tmp_path / 'map-data/transforms.json').stat().st_mtime_ns == written


def test_build_map_takes_scale_and_calibration(build, tmp_path, capsys):
    pytest.importorskip('pycolmap')
    numbers = (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy)
    given = ['--camera', ','.join(map(str, numbers)), '--distance', '0.jpg', '5.jpg', '3.0']
    with pytest.raises(BuiltError):
        build(*given)
    scene = open_scene(tmp_path / 'map-data')
    places = [frame.T_map_cam[:3, 3] for frame in scene.frames]
    assert scene.metric and np.linalg.norm(places[0] - places[5]) == pytest.approx(3.0)
    assert scene.frames[0].camera.fx == pytest.approx(CAMERA.fx, rel=1e-9)

    # a dataset in other metres would be used without a word
    with pytest.raises(BuiltError):
        build(*given)
    with pytest.raises(BuiltError):
        build()
    capsys.readouterr()
    assert build(*given[:-1], '4.0') == 2
    assert 'was made from' in capsys.readouterr().err
    assert (tmp_path / 'map-data/transforms.json').is_file()


@pytest.mark.parametrize(
    ('data', 'options', 'sentence'),
    [
        ('data', ['--tag-size', '0.1'], '--tag-size is given but {data} already has poses'),
        ('data', ['--gps', '--camera', '9,9,1,1'], '--camera --gps is given but {data} already'),
        ('photos', ['--gps', '--scale', '2'], 'the scale is given twice, by --scale and --gps'),
        ('photos', ['--gps', '--tag-size', '1'], 'the scale is given 2 times'),
    ],
)
def test_options_of_pictures_that_cannot_be_used_are_explained(
    photos, tmp_path, capsys, data, options, sentence
):
    path = tmp_path / 'data'
    shutil.copytree(photos, path)
    if data == 'data':
        (path / 'transforms.json').write_text('{"frames": []}')
    assert main(['build-map', str(path), '--output', str(tmp_path / 'map'), *options]) == 2
    err = capsys.readouterr().err
    assert sentence.format(data=path) in err and err.count('\n') == 1
    assert list(tmp_path.iterdir()) == [path]
