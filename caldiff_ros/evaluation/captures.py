# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real captures at hand, and how each is divided into training and test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.altered_scenes import base_scene
from caldiff_ros.evaluation.paper import PaperTable, Rates
from caldiff_ros.scenes import Scene, holds_photographs, open_scene

#: At most this many training and test images of a capture that names no split, as the paper has of
#: 7-Scenes; of fewer images, this share is for testing.
_MOST_TRAINING, _MOST_TEST, _TEST_SHARE = 200, 50, 0.2


def capture_protocol(data: Path, scenes: Sequence[str] = ()) -> PaperTable:
    """Captures and their splits as a table that the paper does not have.

    Args:
        data: folder that holds the folders of the scenes.
        scenes: names of some of them; default, all that are photographs by their form.

    Raises:
        CaldiffError: if there is none, or one of ``scenes`` cannot be read.
    """
    scenes = scenes or find_captures(data)
    if not scenes:
        raise CaldiffError(
            f'{data} has no capture, expected folders with datasets of COLMAP, nerfstudio, '
            'Polycam, Record3D, INRIA or 7-Scenes; give --data, or other scenes with --scenes'
        )

    results: dict[str, dict[str, dict[str, Rates]]] = {
        name: {split: {} for split in capture_splits(open_scene(data / base_scene(name)))}
        for name in scenes
    }
    return PaperTable('Real captures', image_width=None, variants=1, results=results)


def find_captures(data: Path) -> list[str]:
    """Names of the folders that hold photographs, in alphabetical order."""
    if not data.is_dir():
        return []

    return sorted(folder.name for folder in data.iterdir() if holds_photographs(folder))


def capture_splits(scene: Scene) -> list[str]:
    """The splits that a dataset names, else one to be drawn from it.

    That is the dataset's own division where it has one, else four fifths for training.
    """
    if scene.splits:
        return list(scene.splits)

    numbers = {s: sum(f.subset == s for f in scene.frames) for s in ('train', 'test')}
    n_train, n_test = numbers['train'], numbers['test']
    if not (n_train and n_test):
        n_frames = min(len(scene.frames), _MOST_TRAINING + _MOST_TEST)
        n_test = max(1, round(_TEST_SHARE * n_frames))
        n_train = n_frames - n_test

    return [f'{min(n_train, _MOST_TRAINING)}-{min(n_test, _MOST_TEST)}']
