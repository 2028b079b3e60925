# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets that were written on another machine or moved."""

import shutil

import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes import load_depth, open_scene


def rename(edit_json, root, of_image, keys=('file_path',)):
    """Write other paths into transforms.json."""

    def change(content):
        for frame in content['frames']:
            for key in keys:
                frame[key] = of_image(frame[key])

    edit_json(root / 'transforms.json', change)


def files(scene):
    return [frame.image_path.relative_to(scene.root).as_posix() for frame in scene.frames]


IMAGES = [f'images/{i}.png' for i in range(4)]


def test_backslashes_are_separators(nerfstudio, edit_json, caplog):
    rename(
        edit_json,
        nerfstudio,
        lambda path: path.replace('/', '\\'),
        keys=('file_path', 'depth_file_path'),
    )
    scene = open_scene(nerfstudio)
    assert [frame.name for frame in scene.frames] == files(scene) == IMAGES
    assert load_depth(scene.frames[0]) is not None
    assert not caplog.records


@pytest.mark.parametrize(
    'elsewhere',
    ['/home/somebody/scans/room/{}', 'C:\\Users\\some body\\room\\{}', '../raw/room/{}'],
)
def test_paths_of_another_machine_are_found_below_the_dataset(
    nerfstudio, edit_json, caplog, elsewhere
):
    rename(edit_json, nerfstudio, elsewhere.format, keys=('file_path', 'depth_file_path'))
    scene = open_scene(nerfstudio)
    assert files(scene) == IMAGES
    assert [frame.depth_path.name for frame in scene.frames] == [f'{i}.png' for i in range(4)]
    assert {frame.depth_path.parent.name for frame in scene.frames} == {'depth'}
    # once for the images and once for the depth
    assert caplog.text.count('4 of 4 files are not where the dataset says') == 2
    if not elsewhere.startswith('..'):
        assert [frame.name for frame in scene.frames] == IMAGES


def test_paths_that_leave_the_folder_and_come_back_are_themselves(nerfstudio, edit_json, caplog):
    rename(edit_json, nerfstudio, lambda path: f'../{nerfstudio.name}/{path}')
    assert len(open_scene(nerfstudio).frames) == 4
    assert not caplog.records


@pytest.mark.parametrize('folder', ['rgb', 'pictures of the room', 'a/b'])
def test_a_renamed_folder_is_found_by_the_names_of_its_files(nerfstudio, folder):
    (nerfstudio / folder).parent.mkdir(exist_ok=True)
    (nerfstudio / 'images').rename(nerfstudio / folder)
    assert files(open_scene(nerfstudio)) == [f'{folder}/{i}.png' for i in range(4)]


def test_names_alone_are_looked_for_among_the_images(nerfstudio, edit_json):
    # 'depth' has files of the same names, 'images_2' smaller copies
    shutil.copytree(nerfstudio / 'images', nerfstudio / 'images_2')
    rename(edit_json, nerfstudio, lambda path: path.rpartition('/')[2])
    scene = open_scene(nerfstudio)
    assert files(scene) == IMAGES
    assert [frame.name for frame in scene.frames] == [f'{i}.png' for i in range(4)]


def test_other_case_and_missing_extensions(nerfstudio, edit_json):
    rename(edit_json, nerfstudio, lambda path: f'D:/Room/Images/{path[7:]}')
    assert files(open_scene(nerfstudio)) == IMAGES
    rename(edit_json, nerfstudio, lambda path: f'images/{path[-5]}')
    assert files(open_scene(nerfstudio)) == IMAGES


def test_a_file_that_two_names_would_stand_for_is_nobodys(nerfstudio, edit_json):
    # 'left' and 'right' are gone, and what is left cannot be both
    shutil.rmtree(nerfstudio / 'depth')
    (nerfstudio / 'images').rename(nerfstudio / 'camera')
    rename(edit_json, nerfstudio, lambda path: f'left/{path[7:]}')

    def add_right(content):
        right = dict(content['frames'][0], file_path='right/0.png')
        content['frames'].append(right)

    edit_json(nerfstudio / 'transforms.json', add_right)
    assert files(open_scene(nerfstudio)) == [f'camera/{i}.png' for i in (1, 2, 3)]


def test_one_missing_image_is_not_replaced_by_another_of_its_name(nerfstudio, caplog):
    (nerfstudio / 'images/2.png').rename(nerfstudio / '2.png')
    assert files(open_scene(nerfstudio)) == [IMAGES[i] for i in (0, 1, 3)]
    assert '1 of 4 frames are skipped' in caplog.text


def test_test_images_are_not_taken_for_lost_training_images(blender):
    shutil.rmtree(blender / 'train')
    scene = open_scene(blender)
    assert [frame.name for frame in scene.frames] == ['test/r_0', 'test/r_1']


def test_lists_of_the_split_name_files_as_the_frames_do(nerfstudio, edit_json):
    def change(content):
        for frame in content['frames']:
            frame['file_path'] = f'C:\\room\\{frame["file_path"]}'.replace('/', '\\')
        listed = [frame['file_path'] for frame in content['frames']]
        content.update(train_filenames=listed[:3], test_filenames=listed[3:])

    edit_json(nerfstudio / 'transforms.json', change)
    train, test = open_scene(nerfstudio).split(None)
    assert ([f.name for f in train], [f.name for f in test]) == (IMAGES[:3], IMAGES[3:])


def test_lists_that_match_nothing_are_told(nerfstudio, edit_json, caplog):
    lists = {'train_filenames': ['rgb/0.png', 'images/1.png'], 'test_filenames': ['rgb/2.png']}
    edit_json(nerfstudio / 'transforms.json', lambda c: c.update(lists))
    train, _ = open_scene(nerfstudio).split(None)
    assert [frame.name for frame in train] == ['images/1.png']
    assert len(caplog.records) == 1
    assert '2 of the 3 names' in caplog.text
    assert 'rgb/0.png' in caplog.text


def test_nothing_to_be_found_is_refused(nerfstudio):
    shutil.rmtree(nerfstudio / 'images')
    shutil.rmtree(nerfstudio / 'depth')
    with pytest.raises(CaldiffError, match='no frame whose image exists'):
        open_scene(nerfstudio)
