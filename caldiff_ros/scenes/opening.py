# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Choose the reader by what is in the folder."""

from __future__ import annotations

from pathlib import Path

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes.blender import read_blender, subset_files
from caldiff_ros.scenes.nerfstudio import read_nerfstudio
from caldiff_ros.scenes.scene import Scene
from caldiff_ros.scenes.seven_scenes import read_seven_scenes, sequence_folders


def open_scene(path: str | Path) -> Scene:
    """Read a dataset.

    Args:
        path: a folder in the form of Blender, nerfstudio (Polycam) or 7-Scenes, or a nerfstudio
            file ``transforms.json``.

    Raises:
        CaldiffError: if there is no dataset, or one that cannot be used.
    """
    path = Path(path).expanduser().resolve()
    if path.suffix == '.json' and path.is_file():
        scene = read_nerfstudio(path)
    elif not path.is_dir():
        raise CaldiffError(f'{path} is not a folder, expected a dataset; check the path')
    elif subset_files(path):
        scene = read_blender(path)
    elif (path / 'transforms.json').is_file():
        scene = read_nerfstudio(path / 'transforms.json')
    elif sequence_folders(path):
        scene = read_seven_scenes(path)
    else:
        raise CaldiffError(
            f'{path} holds no dataset, expected transforms_train.json or transforms_test.json '
            '(Blender), transforms.json (nerfstudio, Polycam) or seq-XX folders (7-Scenes); '
            'check the path'
        )

    if not scene.frames:
        raise CaldiffError(
            f'{path} has no frame whose image exists, expected at least one; check that the image '
            'folder is there'
        )

    return scene
