# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Blender scenes: ``transforms_train.json``, ``transforms_val.json``, ``transforms_test.json``."""

from __future__ import annotations

from pathlib import Path

from caldiff_ros.scenes.conventions import OPENGL
from caldiff_ros.scenes.pixels import has_alpha
from caldiff_ros.scenes.reading import read_splits
from caldiff_ros.scenes.scene import Frame, Scene
from caldiff_ros.scenes.transforms import read_transforms

SUBSETS = ('train', 'val', 'test')


def subset_files(root: Path) -> dict[str, Path]:
    """The transforms file of every subset that is there."""
    files = {subset: root / f'transforms_{subset}.json' for subset in SUBSETS}
    return {subset: path for subset, path in files.items() if path.is_file()}


def read_blender(root: Path) -> Scene:
    """Read a scene in the form of the NeRF-synthetic dataset.

    Numbers in ``splits.json`` count the frames of ``transforms_train.json`` and
    ``transforms_test.json``.
    """
    frames: list[Frame] = []
    names: dict[str, list[str]] = {}

    for subset, path in subset_files(root).items():
        # the three files have the same names of images, in folders of their own
        _, subset_frames, names[subset] = read_transforms(path, subset, by_name=False)
        frames += subset_frames

    def name_of(part: str, number: int) -> str | None:
        listed = names.get(part, [])
        return listed[number] if 0 <= number < len(listed) else None

    white = bool(frames) and has_alpha(frames[0].image_path)
    return Scene(
        name=root.name,
        root=root,
        frames=frames,
        splits=read_splits(root, name_of),
        background='white' if white else 'none',
        convention=OPENGL,
    )
