# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""nerfstudio datasets and Polycam exports: ``transforms.json``."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes.colmap import find_colmap_model
from caldiff_ros.scenes.colmap_points import points_of_frames
from caldiff_ros.scenes.conventions import OPENGL
from caldiff_ros.scenes.finding import normalized_name
from caldiff_ros.scenes.reading import read_splits
from caldiff_ros.scenes.scene import Frame, Scene
from caldiff_ros.scenes.transforms import read_transforms

logger = logging.getLogger(__name__)


def read_nerfstudio(path: Path) -> Scene:
    """Read a scene from its ``transforms.json``.

    Numbers in ``splits.json`` count the frames of that file. nerfstudio's own lists
    ``train_filenames``, ``val_filenames`` and ``test_filenames`` give the subsets. A COLMAP model
    beside the file, where the poses are from it, gives the points.
    """
    root = path.parent
    content, frames, names = read_transforms(path)
    frames = _with_subsets(frames, names, content, path)

    model = find_colmap_model(root)

    def name_of(part: str, number: int) -> str | None:
        return names[number] if 0 <= number < len(names) else None

    return Scene(
        name=root.name,
        root=root,
        frames=frames,
        splits=read_splits(root, name_of),
        aabb=_aabb(content, path),
        metric=is_metric(content, path),
        find_points=None if model is None else partial(points_of_frames, model),
        convention=OPENGL,
    )


def _with_subsets(frames: list[Frame], names: list[str], content: dict, path: Path) -> list[Frame]:
    """The frames with the subsets that the file lists; names without a frame are logged."""
    listed_as = [normalized_name(entry['file_path']) for entry in content['frames']]
    name_of = dict(zip(listed_as, names, strict=True))
    subset_of: dict[str, str] = {}

    for subset in ('train', 'val', 'test'):
        listed = content.get(f'{subset}_filenames') or []
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise CaldiffError(
                f'"{subset}_filenames" in {path} is no list of names, expected one; repair or '
                'remove it'
            )
        normalized = map(normalized_name, listed)
        subset_of.update({name_of.get(name, name): subset for name in normalized})

    unknown = subset_of.keys() - {frame.name for frame in frames}
    if unknown:
        logger.warning(
            '%d of the %d names in the train_filenames, val_filenames and test_filenames of %s are '
            'none of its frames, such as %s',
            len(unknown),
            len(subset_of),
            path,
            min(unknown),
        )

    return [replace(frame, subset=subset_of.get(frame.name)) for frame in frames]


def is_metric(content: dict, path: Path) -> bool:
    """Whether the poses are in metres, as `caldiff capture` writes; nobody else says so."""
    metric = content.get('metric')
    if metric is not None and not isinstance(metric, bool):
        raise CaldiffError(
            f'"metric" in {path} is {metric!r}, expected true or false: whether the poses are in '
            'metres; correct it'
        )

    return bool(metric)


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
