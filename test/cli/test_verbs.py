# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verbs do their work, from files to files."""

import json
import re
import shutil

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from caldiff_ros.cli import main
from caldiff_ros.evaluation import pose_errors
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.scenes import open_scene


@pytest.fixture
def held_out(plane):
    return open_scene(plane).split('12-4')[1]


def test_localize_takes_a_mask(plane_map, held_out, tmp_path, capsys):
    image = str(held_out[0].image_path)
    height, width = cv2.imread(image).shape[:2]
    argv = ['localize', str(plane_map), image, '--json', '--device', 'cpu', '--mask']
    cv2.imwrite(str(tmp_path / 'mask.png'), np.full((height, 2 * width), 255, np.uint8))
    assert main([*argv, str(tmp_path / 'mask.png')]) == 2
    assert f'the mask is {2 * width}x{height} pixels' in capsys.readouterr().err
    cv2.imwrite(str(tmp_path / 'mask.png'), np.full((height, width), 255, np.uint8))
    assert main([*argv, str(tmp_path / 'mask.png')]) == 0
    capsys.readouterr()
    assert main([*argv, str(tmp_path / 'nothing.png')]) == 2
    assert 'nothing.png cannot be read' in capsys.readouterr().err


def test_brackets_and_colons_in_names_are_printed_as_they_are(
    plane_map, held_out, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv('COLUMNS', '200')
    image = tmp_path / 'cam [left] :smile: 57.png'
    shutil.copy(held_out[0].image_path, image)
    assert main(['localize', str(plane_map), str(image), '--device', 'cpu']) == 0
    assert image.name in capsys.readouterr().out


def test_build_map_leaves_a_map_and_nothing_else(plane_map):
    assert sorted(path.name for path in plane_map.iterdir()) == [
        'calibration.json',
        'cameras.json',
        'diffusion.safetensors',
        'field.safetensors',
        'map.yaml',
    ]
    assert [path.name for path in plane_map.parent.iterdir()] == [plane_map.name]


def test_evaluate_finds_the_held_out_images(plane_map, plane, held_out, tmp_path, capsys):
    argv = ['evaluate', str(plane_map), str(plane), '--split', '12-4', '--device', 'cpu']
    assert main([*argv, '--output', str(tmp_path / 'report')]) == 0
    assert 'success within 0.05, 10°' in capsys.readouterr().out
    summary = json.loads((tmp_path / 'report/summary.json').read_text())
    assert set(summary) == {
        *('method', 'preset', 'n_queries', 'thresholds', 'success_rate', 'success_5cm_5deg'),
        *('success_2cm_2deg', 'median_translation_norm', 'median_rotation_deg'),
        *('median_translation_cm', 'mean_nees'),
        *('median_seconds', 'p90_seconds', 'status_counts', 'seed', 'hardware', 'versions'),
    }
    assert summary['n_queries'] == 4
    assert summary['success_rate'][3] >= 75
    assert summary['success_5cm_5deg'] is None
    queries = json.loads((tmp_path / 'report/queries.json').read_text())
    assert [query['name'] for query in queries] == [frame.name for frame in held_out]
    for query, frame in zip(queries, held_out, strict=True):
        np.testing.assert_allclose(query['T_map_cam_true'], frame.T_map_cam, atol=1e-6)
        error, degrees = pose_errors(frame.T_map_cam, np.array(query['T_map_cam']))
        assert query['translation_map'] == pytest.approx(error, abs=1e-6)
        assert query['rotation_deg'] == pytest.approx(degrees, abs=1e-4)


def test_localize_answers_every_image_with_json(plane_map, held_out, tmp_path, capsys):
    paths = [str(frame.image_path) for frame in held_out[:2]]
    argv = ['localize', str(plane_map), *paths, '--json', '--device', 'cpu']
    assert main([*argv, '--save-overlay', str(tmp_path)]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer['image'] for answer in answers] == paths
    for answer, frame in zip(answers, held_out, strict=False):
        assert answer['status'] in ('LOCALIZED', 'NOT_LOCALIZED')
        assert 0 <= answer['confidence'] <= 1
        assert answer['photometric_error'] >= 0
        assert answer['seconds'] > 0
        error, degrees = pose_errors(frame.T_map_cam, np.array(answer['T_map_cam']))
        assert error < 0.2
        assert degrees < 10
    pictures = sorted(tmp_path.iterdir())
    assert [path.suffix for path in pictures] == ['.png', '.png']
    assert cv2.imread(str(pictures[0])) is not None


def test_localize_goes_on_after_an_unreadable_image(plane_map, held_out, tmp_path, capsys):
    broken = tmp_path / 'broken.png'
    broken.write_bytes(b'no picture')
    good = str(held_out[0].image_path)
    assert main(['localize', str(plane_map), str(broken), good, '--json', '--device', 'cpu']) == 2
    out, err = capsys.readouterr()
    answers = json.loads(out)
    assert [answer['status'] == 'FAILED' for answer in answers] == [True, False]
    assert answers[0]['T_map_cam'] is None
    assert 'broken.png is not a readable image' in err


@pytest.mark.parametrize('given', [None, '50,52,29,21'])
def test_localize_turns_photographs_of_phones_upright(plane_map, held_out, tmp_path, capsys, given):
    path = tmp_path / 'phone.png'
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    Image.open(held_out[0].image_path).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    argv = ['localize', str(plane_map), str(path), '--json', '--device', 'cpu']
    assert main([*argv, '--camera', given] if given else argv) == 0
    T_map_cam = np.array(json.loads(capsys.readouterr().out)[0]['T_map_cam'])
    error, degrees = pose_errors(held_out[0].T_map_cam, T_map_cam)
    assert error < 0.2
    assert degrees < 10


def test_localize_prints_positions_far_from_the_origin_as_finely(
    plane_map, held_out, tmp_path, capsys, monkeypatch
):
    origin = np.array([448123.0, 5411234.0, 312.0])
    far = tmp_path / 'far'
    shutil.copytree(plane_map, far)
    content = yaml.safe_load((far / 'map.yaml').read_text())
    content['T_map_scene'] = [[*np.eye(3)[i].tolist(), float(origin[i])] for i in range(3)]
    content['T_map_scene'].append([0.0, 0.0, 0.0, 1.0])
    (far / 'map.yaml').write_text(yaml.safe_dump(content))
    monkeypatch.setenv('COLUMNS', '200')

    positions = []
    for folder in (plane_map, far):
        argv = ['localize', str(folder), str(held_out[0].image_path), '--device', 'cpu']
        assert main(argv) == 0
        numbers = re.search(r'(-?\d+\.\d+) (-?\d+\.\d+) (-?\d+\.\d+)', capsys.readouterr().out)
        positions.append([float(number) for number in numbers.groups()])

    # a thousandth of a map of some two units
    np.testing.assert_allclose(positions[1] - origin, positions[0], atol=1.1e-3)


def test_localize_takes_intrinsics(plane_map, held_out, tmp_path, capsys):
    # The same image at twice the size with a border: its intrinsics are not those of the map.
    image = cv2.imread(str(held_out[0].image_path))
    large = cv2.copyMakeBorder(cv2.resize(image, (120, 80)), 10, 6, 20, 4, cv2.BORDER_REPLICATE)
    path, camera_json = tmp_path / 'large.png', tmp_path / 'camera.json'
    cv2.imwrite(str(path), large)
    camera = {'fl_x': 100.0, 'fl_y': 104.0, 'cx': 58.0 + 20, 'cy': 42.0 + 10, 'w': 144, 'h': 96}
    camera_json.write_text(json.dumps(camera))
    for given in ('100,104,78,52', str(camera_json)):
        argv = ['localize', str(plane_map), str(path), '--camera', given, '--device', 'cpu']
        assert main([*argv, '--json']) == 0
        T_map_cam = np.array(json.loads(capsys.readouterr().out)[0]['T_map_cam'])
        error, degrees = pose_errors(held_out[0].T_map_cam, T_map_cam)
        assert error < 0.2
        assert degrees < 10


def test_evaluate_tells_whether_the_statuses_can_be_relied_on(
    plane_map, plane, blender, tmp_path, capsys
):
    output = tmp_path / 'report'
    argv = ['evaluate', str(plane_map), str(plane), '--split', '12-4', '--queries', '2', '--trust']
    assert main([*argv, '--foreign', str(blender), '--output', str(output)]) == 0
    trust = json.loads((output / 'summary.json').read_text())['trust']
    n = {kind: sum(counts.values()) for kind, counts in trust['counts'].items()}
    assert n['right answers'] + n['wrong answers'] <= 2
    assert n['blank or scrambled images'] == 9 + 2
    assert n['images of blender'] == 4
    assert 0 < n['wrong poses'] <= 2 * 10
    assert trust['localized_percent']['blank or scrambled images'] < 20
    assert 'wrong poses' in capsys.readouterr().out


def test_the_table_shows_the_answers(plane_map, held_out, capsys):
    path = held_out[0].image_path
    assert main(['localize', str(plane_map), str(path), '--device', 'cpu']) == 0
    out = capsys.readouterr().out
    assert path.name in out
    assert 'LOCALIZED' in out


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [
        (['localize', 'nowhere', 'image.png'], 'nowhere'),
        (['localize', '{map}'], 'no image'),
        (['localize', '{map}', '{image}', '--camera', '1,2,3'], "'1,2,3'"),
        (['localize', '{map}', '{image}', '--camera', '0,0,3,4'], 'focal'),
        (['localize', '{map}', '{image}', '--camera', 'no.json'], 'no.json'),
        (['localize', '{map}', '{image}', '--preset', 'slow'], "'slow'"),
        (['evaluate', '{map}', 'nowhere'], 'nowhere'),
        (['evaluate', '{map}', '{data}', '--split', 'odd'], "'odd'"),
        (['evaluate', '{map}', '{data}', '--queries', '0'], '0 queries'),
        (['build-map', '{data}', '--output', '{data}'], 'is not a map'),
        (['build-map', '{data}', '--output', 'new', '--preset', 'slow'], "'slow'"),
        (['build-map', '{data}', '--output', 'new', '--downscale-factor', '0'], 'downscale'),
        (['build-map', '{data}', '--output', 'new', '--scale', '-1'], 'the scale is -1.0'),
        (['train-diffusion', '{data}', '--output', 'new'], 'train-nerf'),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    plane_map, plane, held_out, tmp_path, monkeypatch, capsys, arguments, says
):
    monkeypatch.chdir(tmp_path)
    places = {'map': plane_map, 'data': plane, 'image': held_out[0].image_path}
    assert main([argument.format(**places) for argument in arguments]) == 2
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith('caldiff')]
    assert len(lines) == 1
    assert says in lines[0]
    assert 'Traceback' not in err
    assert not (tmp_path / 'new').exists()


def test_the_two_halves_make_a_map_too(plane, small, tmp_path, capsys):
    output = tmp_path / 'halves'
    argv = [str(plane), '--output', str(output), '--split', '12-4', *small]
    argv += ['--field.iterations', '160', '--diffusion.iterations', '5', '--views.count', '16']
    argv += ['--scale', '0.25']
    assert main(['train-nerf', *argv]) == 0
    assert 'dB on 4 held-out images' in capsys.readouterr().out
    assert not output.exists()
    assert main(['train-diffusion', *argv]) == 0
    built = LocalizationMap.load(output)
    assert (built.scale, built.metric) == (0.25, True)
    # Other arguments mean another field, which there is none of.
    assert main(['train-diffusion', *argv, '--seed', '1']) == 2


def test_presets_choose_the_defaults(capsys):
    with pytest.raises(SystemExit) as info:
        main(['build-map', '--preset', 'paper', '--field', 'tiny', '--help'])
    assert info.value.code == 0
    text = ' '.join(capsys.readouterr().out.replace('│', ' ').split())
    assert 'one whole training image each. (default: 20000)' in text
    assert 'see ``convergence``. (default: 100000)' in text
