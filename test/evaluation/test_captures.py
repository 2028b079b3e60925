# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which folders are captures, and how they are divided."""

import json
import shutil
from dataclasses import replace

import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.captures import capture_protocol, capture_splits, find_captures
from caldiff_ros.evaluation.reproduction import Plan
from caldiff_ros.scenes import open_scene


@pytest.fixture
def data(blender, nerfstudio, seven_scenes):
    """A folder with two captures (nerfstudio, kitchen), renders (blender) and other things."""
    folder = nerfstudio.parent
    (folder / 'notes').mkdir()
    (folder / 'notes/model.ply').write_text('')
    (folder / 'README.md').write_text('')
    return folder


def test_captures_are_told_from_renders_and_other_things(data, tmp_path):
    assert find_captures(data) == ['kitchen', 'nerfstudio']
    plan = Plan.make('real', data)
    assert [spec.name for spec in plan.settings] == ['kitchen-2-2-v0', 'nerfstudio-3-1-v0']
    assert plan.paper.image_width is None
    assert plan.methods[:3] == ('fast', 'hloc', 'hloc-sift')
    with pytest.raises(CaldiffError, match='has no capture'):
        Plan.make('real', data / 'notes')
    with pytest.raises(CaldiffError, match='has no capture'):
        Plan.make('real', tmp_path / 'nowhere')


def test_scenes_that_are_named_are_taken_whatever_they_are(data):
    plan = Plan.make('real', data, ['blender', 'nerfstudio+twice'])
    assert [spec.name for spec in plan.settings] == ['blender-2-2-v0', 'nerfstudio+twice-3-1-v0']
    assert Plan.make('real', data, ['kitchen'], ['2-1']).settings[0].split == '2-1'
    with pytest.raises(CaldiffError, match='atlantis does not exist'):
        Plan.make('real', data, ['atlantis'])


def test_splits_that_the_dataset_names_come_first(nerfstudio):
    variants = [{'train': [0, 1], 'test': [2]}, {'train': [1, 2], 'test': [3]}]
    splits = {'2-1': variants, '2-block': variants[:1]}
    (nerfstudio / 'splits.json').write_text(json.dumps(splits))
    plan = Plan.make('real', nerfstudio.parent)
    assert [spec.name for spec in plan.settings] == ['nerfstudio-2-1-v0', 'nerfstudio-2-block-v0']


def test_without_splits_the_dataset_s_own_division_is_kept(seven_scenes):
    scene = open_scene(seven_scenes)
    [split] = capture_splits(scene)
    drawn, own = scene.split(split), scene.split(None)
    assert [[frame.name for frame in part] for part in drawn] == [
        [frame.name for frame in part] for part in own
    ]
    many = replace(scene, frames=scene.frames * 150)
    assert capture_splits(many) == ['200-50']  # of 300 and 300


@pytest.mark.parametrize(
    ('n_frames', 'split'), [(4, '3-1'), (35, '28-7'), (249, '199-50'), (1000, '200-50')]
)
def test_otherwise_a_fifth_is_for_testing(nerfstudio, n_frames, split):
    scene = open_scene(nerfstudio)
    many = replace(scene, frames=(scene.frames * 250)[:n_frames])
    assert capture_splits(many) == [split]
    train, test = many.split(split)
    assert len(train) + len(test) <= n_frames


def test_a_broken_capture_is_told_and_not_left_out(data):
    (data / 'nerfstudio/transforms.json').write_text('{')
    with pytest.raises(CaldiffError, match=r'transforms\.json'):
        capture_protocol(data)
    shutil.rmtree(data / 'nerfstudio')
    assert list(capture_protocol(data).results) == ['kitchen']
