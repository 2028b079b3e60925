# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""nerfstudio datasets and Polycam exports: ``transforms.json``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes.reading import read_splits
from caldiff_ros.scenes.scene import Scene
from caldiff_ros.scenes.transforms import read_transforms


def read_nerfstudio(path: Path) -> Scene:
    """Read a scene from its ``transforms.json``.

    Numbers in ``splits.json`` count the frames of that file. nerfstudio's own lists
    ``train_filenames``, ``val_filenames`` and ``test_filenames`` give the subsets.
    """
    root = path.parent
    content, frames, names = read_transforms(path)
    subset_of = {
        str(PurePosixPath(name)): subset
        for subset in ('train', 'val', 'test')
        for name in content.get(f'{subset}_filenames') or []
    }

    frames = [replace(frame, subset=subset_of.get(frame.name)) for frame in frames]

    def name_of(part: str, number: int) -> str | None:
        return names[number] if 0 <= number < len(names) else None

    return Scene(
        name=root.name,
        root=root,
        frames=frames,
        splits=read_splits(root, name_of),
        aabb=_aabb(content, path),
    )


def _aabb(content: dict, path: Path) -> np.ndarray | None:
    if content.get('aabb') is None:
        return None

    try:
        aabb = np.array(content['aabb'], dtype=np.float64)
    except (TypeError, ValueError):
        aabb = np.empty(0)

    if aabb.shape != (2, 3) or not (aabb[0] < aabb[1]).all():
        raise CaldiffError(
            f'"aabb" in {path} is {content["aabb"]}, expected [[low x, y, z], [high x, y, z]]; '
            'repair or remove it'
        )

    return aabb
