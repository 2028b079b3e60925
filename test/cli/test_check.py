# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The check of a dataset, on its own and before a build."""

import json
import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from textured_room import walk, write_room

from caldiff_ros.cli import main
from caldiff_ros.cli.evaluate import _read_as_for_map
from caldiff_ros.scenes import open_scene
from caldiff_ros.scenes.checking import check_capture
from caldiff_ros.scenes.conventions import OPENCV, OPENGL

#: A training that does next to nothing.
NOTHING = ['--field.iterations', '2', '--field.iterations-per-view', '0', '--device', 'cpu']


@pytest.fixture(scope='module')
def room(tmp_path_factory):
    return write_room(tmp_path_factory.mktemp('data') / 'room', walk())


@pytest.fixture
def copy(room, tmp_path):
    """A copy of the dataset with other matrices."""

    def with_matrices(change):
        shutil.copytree(room, tmp_path / 'copy')
        path = tmp_path / 'copy/transforms.json'
        content = json.loads(path.read_text())
        matrices = [frame['transform_matrix'] for frame in content['frames']]
        for i, frame in enumerate(content['frames']):
            frame['transform_matrix'] = change(i, matrices)
        path.write_text(json.dumps(content))
        return tmp_path / 'copy'

    return with_matrices


def exchanged(i, matrices):
    """Every eighth pose is that of the eighth frame after it."""
    return matrices[(i + 8) % len(matrices)] if i % 8 == 2 else matrices[i]


def in_opencv(i, matrices):
    return (np.array(matrices[i]) @ np.diag([1, -1, -1, 1])).tolist()


@pytest.mark.parametrize('arguments', [[], ['--convention', 'strict']])
def test_check_says_that_a_good_dataset_is_good(room, capsys, arguments):
    assert main(['check', str(room), *arguments]) == 0
    out = capsys.readouterr().out
    assert 'pose convention' in out
    assert out.splitlines()[-1] == 'room can become a map'


def test_check_names_what_is_wrong_and_ends_with_status_1(copy, capsys):
    assert main(['check', str(copy(exchanged))]) == 1
    out = capsys.readouterr().out
    assert '3 of 24' in out
    assert out.splitlines()[-1] == 'copy would become a bad map (wrong poses)'


def test_a_build_from_exchanged_poses_stops_before_it_begins(copy, tmp_path, capsys):
    output = tmp_path / 'map'
    assert main(['build-map', str(copy(exchanged)), '--output', str(output), *NOTHING]) == 2
    err = capsys.readouterr().err
    assert 'copy would become a bad map (wrong poses): 3 of 24' in err
    assert '--force' in err
    assert [path.name for path in tmp_path.iterdir()] == ['copy']


@pytest.mark.parametrize('flag', ['--force', '--no-check'])
def test_a_build_from_exchanged_poses_can_be_forced(copy, tmp_path, caplog, flag):
    argv = ['train-nerf', str(copy(exchanged)), '--output', str(tmp_path / 'map'), flag, *NOTHING]
    assert main(argv) == 0
    told = any('3 of 24' in record.message for record in caplog.records)
    assert told == (flag == '--force')


def test_poses_in_another_convention_are_read_as_the_images_say(copy, tmp_path, caplog):
    argv = ['train-nerf', str(copy(in_opencv)), '--output', str(tmp_path / 'map'), *NOTHING]
    with caplog.at_level(logging.INFO, logger='caldiff_ros'):
        assert main(argv) == 0
    messages = [record.message for record in caplog.records]
    assert any(f'agree with {OPENCV}, and' in message for message in messages)
    # the resolution and the time are told before the training
    assert any(
        message.startswith('training on 24 images of 160x120 pixels: about 1 min for the radiance')
        for message in messages
    )


def test_a_build_in_two_halves_checks_once(copy, tmp_path, monkeypatch, caplog):
    checked = []
    monkeypatch.setattr(
        'caldiff_ros.cli.checked.check_capture',
        lambda scene, rule: checked.append(rule) or check_capture(scene, rule),
    )
    data = copy(in_opencv)
    argv = ['--output', str(tmp_path / 'map'), *NOTHING]
    assert main(['train-nerf', str(data), *argv]) == 0
    caplog.clear()
    assert main(['train-nerf', str(data), *argv]) == 0
    # what was found is told and used all the same: the field was not trained again
    assert any(f'agree with {OPENCV}, and' in record.message for record in caplog.records)
    assert checked == ['auto']
    assert main(['train-nerf', str(data), *argv, '--convention', 'strict']) == 2
    (data / 'images/03.png').touch()
    assert main(['train-nerf', str(data), *argv]) == 0
    assert checked == ['auto', 'strict', 'auto']


def test_poses_in_another_convention_can_be_refused(copy, tmp_path, capsys):
    argv = ['train-nerf', str(copy(in_opencv)), '--output', str(tmp_path / 'map'), *NOTHING]
    assert main([*argv, '--convention', 'strict']) == 2
    assert 'would become a bad map (pose convention)' in capsys.readouterr().err


def test_an_evaluation_reads_poses_as_the_map_had_to(copy, room):
    wrong = open_scene(copy(in_opencv))
    of_opencv = SimpleNamespace(provenance={'poses_read_as': str(OPENCV)})
    read = _read_as_for_map(of_opencv, wrong)
    for frame, true in zip(read.frames, open_scene(room).frames, strict=True):
        np.testing.assert_allclose(frame.T_map_cam, true.T_map_cam, atol=1e-12)

    # a map of another format's poses says nothing about those of this dataset
    good = open_scene(room)
    assert (
        _read_as_for_map(SimpleNamespace(provenance={'poses_read_as': str(OPENCV)}), good) is good
    )
    assert _read_as_for_map(of_opencv, good) is good
    of_opengl = SimpleNamespace(provenance={'poses_read_as': str(OPENGL)})
    assert _read_as_for_map(of_opengl, wrong) is wrong
