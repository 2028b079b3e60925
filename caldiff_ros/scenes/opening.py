# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Choose the reader by what is in the folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from caldiff_ros.errors import CaldiffError, NoImageError
from caldiff_ros.scenes.blender import read_blender, subset_files
from caldiff_ros.scenes.colmap import find_colmap_model, read_colmap
from caldiff_ros.scenes.inria import read_inria
from caldiff_ros.scenes.nerfstudio import read_nerfstudio
from caldiff_ros.scenes.polycam import polycam_folders, read_polycam
from caldiff_ros.scenes.reading import without_duplicates
from caldiff_ros.scenes.record3d import is_record3d, read_record3d
from caldiff_ros.scenes.scene import Scene
from caldiff_ros.scenes.seven_scenes import read_seven_scenes, sequence_folders


def open_scene(path: str | Path) -> Scene:
    """Read a dataset.

    Args:
        path: a folder in the form of Blender, nerfstudio, COLMAP, Polycam, Record3D or 7-Scenes;
            or one of their files: nerfstudio's ``transforms.json``, INRIA's ``cameras.json``.

    Raises:
        NoImageError: if none of the images is there.
        CaldiffError: if there is no dataset, or one that cannot be used.
    """
    path = Path(path).expanduser().resolve()
    scene = _read(path)
    if scene is None:
        raise CaldiffError(
            f'{path} holds no dataset, expected transforms_train.json or transforms_test.json '
            '(Blender), transforms.json (nerfstudio), a COLMAP model in sparse/0, cameras.json '
            '(INRIA), keyframes (raw data of Polycam), metadata.json beside rgb (Record3D) or '
            'seq-XX folders (7-Scenes); check the path, or make a dataset of photos with caldiff '
            'capture'
        )

    if not scene.frames:
        raise NoImageError(
            f'{path} has no frame whose image exists, expected at least one; check that the image '
            'folder is there'
        )

    return replace(scene, frames=without_duplicates(scene.frames))


def _read(path: Path) -> Scene | None:
    """What is at a path, by the first reader that finds its files; None if no reader does."""
    if path.suffix == '.json' and path.is_file():
        return read_inria(path) if path.name == 'cameras.json' else read_nerfstudio(path)
    if not path.is_dir():
        found = 'is not a folder' if path.exists() else 'does not exist'
        raise CaldiffError(
            f'{path} {found}, expected the folder of a dataset; check the path, or make a dataset '
            'of a video with caldiff capture'
        )

    read = _reader(path)
    return None if read is None else read()


def holds_photographs(path: Path) -> bool:
    """Whether a folder is a dataset in a form that captures have: any but Blender's renders."""
    return path.is_dir() and not subset_files(path) and _reader(path) is not None


def _reader(folder: Path) -> Callable[[], Scene] | None:
    """Reads what is in a folder; None if it is no dataset."""
    if subset_files(folder):
        return partial(read_blender, folder)
    if (folder / 'transforms.json').is_file():
        return partial(read_nerfstudio, folder / 'transforms.json')
    if (model := find_colmap_model(folder)) is not None:
        return partial(read_colmap, folder, model)
    if (folders := polycam_folders(folder)) is not None:
        return partial(read_polycam, folder, *folders)
    if is_record3d(folder):
        return partial(read_record3d, folder)
    if (folder / 'cameras.json').is_file():
        return partial(read_inria, folder / 'cameras.json')

    return partial(read_seven_scenes, folder) if sequence_folders(folder) else None
