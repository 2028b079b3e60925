# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes import open_scene


def names(frames):
    return [frame.name for frame in frames]


def write_splits(root, splits):
    (root / 'splits.json').write_text(json.dumps(splits))


def test_numbers_count_the_frames_of_the_two_blender_files(blender):
    write_splits(blender, {'1-2': [{'train': [1], 'test': [1, 0]}, {'train': [0], 'test': [0]}]})
    scene = open_scene(blender)
    train, test = scene.split('1-2')
    assert (names(train), names(test)) == (['train/r_1'], ['test/r_1', 'test/r_0'])
    train, test = scene.split('1-2', variant=1)
    assert (names(train), names(test)) == (['train/r_0'], ['test/r_0'])


def test_a_skipped_image_does_not_shift_the_numbers(blender):
    write_splits(blender, {'a': [{'train': [1], 'test': [0]}]})
    (blender / 'train/r_0.png').unlink()
    assert names(open_scene(blender).split('a')[0]) == ['train/r_1']


def test_numbers_are_frame_numbers_in_7_scenes(seven_scenes):
    for path in (seven_scenes / 'seq-02').glob('*000000*'):
        path.rename(path.with_name(path.name.replace('000000', '000042')))
    write_splits(seven_scenes, {'2-1': [{'train': [42, 'seq-01/frame-000001'], 'test': [0]}]})
    train, test = open_scene(seven_scenes).split('2-1')
    assert names(train) == ['seq-02/frame-000042', 'seq-01/frame-000001']
    assert names(test) == ['seq-01/frame-000000']


def test_a_number_of_two_sequences_is_refused(seven_scenes):
    write_splits(seven_scenes, {'1-1': [{'train': [1], 'test': ['seq-01/frame-000000']}]})
    with pytest.raises(CaldiffError, match='1 frame that kitchen does not have, such as train 1'):
        open_scene(seven_scenes).split('1-1')


def test_drawn_splits_are_disjoint_and_repeatable(nerfstudio):
    scene = open_scene(nerfstudio)
    train, test = scene.split('2-1', variant=3)
    assert (len(train), len(test)) == (2, 1)
    assert not set(names(train)) & set(names(test))
    assert scene.split('2-1', variant=3) == (train, test)
    variants = {tuple(names(scene.split('2-1', v)[0])) for v in range(20)}
    assert len(variants) == 6  # every pair of four frames comes up


def test_drawn_splits_of_a_divided_dataset_respect_the_division(blender):
    train, test = open_scene(blender).split('1-2')
    assert train[0].subset == 'train'
    assert names(test) == ['test/r_0', 'test/r_1']


@pytest.mark.parametrize(
    ('split', 'variant', 'says'),
    [
        ('nonsense', 0, "split 'nonsense'.* 1-1"),
        ('0-2', 0, "split '0-2'"),
        ('1-1', 5, 'variant 5.* 0 to 0'),
        ('1-1', -1, 'variant -1'),
        ('2-3', 0, 'more frames'),
        ('3-1', 0, 'more frames'),
    ],
)
def test_unknown_splits_are_refused(blender, split, variant, says):
    write_splits(blender, {'1-1': [{'train': [0], 'test': [0]}]})
    with pytest.raises(CaldiffError, match=says):
        open_scene(blender).split(split, variant)


@pytest.mark.parametrize('variant', [{'train': [0]}, {'train': [0], 'test': [None]}])
def test_malformed_split_files_are_refused(blender, variant):
    write_splits(blender, {'1-1': [variant]})
    with pytest.raises(CaldiffError, match=r'splits\.json'):
        open_scene(blender)


@pytest.mark.parametrize('content', [{'train': ['r_0'], 'test': ['r_1']}, {'a': 3}, ['r_0']])
def test_split_files_of_other_programs_are_told_and_ignored(blender, content, caplog):
    write_splits(blender, content)
    assert open_scene(blender).splits == {}
    assert len(caplog.records) == 1
    assert 'splits.json is ignored' in caplog.text
