# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hard scenes made of others: without texture, or with everything there twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.files import write_bytes
from caldiff_ros.scenes import Frame, Scene, open_scene
from caldiff_ros.scenes.pixels import read_pixels

#: Training and test frames of a scene, and of what it is made into; images go to the folder.
SceneAlteration = Callable[
    [Scene, Sequence[Frame], Sequence[Frame], Path], tuple[Scene, list[Frame], list[Frame]]
]

#: Bilateral filter, how often it is applied, over how many pixels and grey values.
_PASSES, _REACH_PX, _REACH_GREY = 6, 7.0, 40.0
#: Distance of the second copy, in longest edges of the box around the training cameras.
_APART = 2.0


def _plain(
    scene: Scene, train: Sequence[Frame], test: Sequence[Frame], folder: Path
) -> tuple[Scene, list[Frame], list[Frame]]:
    """Surfaces of one colour: edges are kept, and what lies between them is smoothed."""

    def smoothed(frame: Frame) -> Frame:
        path = folder / f'{frame.name.replace("/", "-")}.png'
        if not path.is_file():
            image = read_pixels(frame.image_path, frame.upright)
            color = np.ascontiguousarray(image[..., 2::-1])  # BGR, as OpenCV writes it
            for _ in range(_PASSES):
                color = cv2.bilateralFilter(color, 9, _REACH_GREY, _REACH_PX)

            content = cv2.imencode('.png', np.concatenate([color, image[..., 3:]], axis=-1))[1]
            write_bytes(path, content.tobytes())

        return replace(frame, image_path=path, upright=False)

    return scene, [smoothed(frame) for frame in train], [smoothed(frame) for frame in test]


def _twice(
    scene: Scene, train: Sequence[Frame], test: Sequence[Frame], folder: Path
) -> tuple[Scene, list[Frame], list[Frame]]:
    """The training images once more, moved along x: every test image has two right answers.

    For rooms: a copy must not be in sight of the other.
    """
    centers = np.stack([frame.T_map_cam[:3, 3] for frame in train])
    shift = np.eye(4)
    shift[0, 3] = _APART * np.ptp(centers, axis=0).max()
    again = [
        replace(frame, name=f'{frame.name}-again', T_map_cam=shift @ frame.T_map_cam)
        for frame in train
    ]

    if scene.aabb is not None:
        low, high = scene.aabb
        scene = replace(scene, aabb=np.stack([low, high + shift[:3, 3]]))

    return scene, [*train, *again], list(test)


SCENE_ALTERATIONS: dict[str, SceneAlteration] = {'plain': _plain, 'twice': _twice}


def base_scene(name: str) -> str:
    """The scene that another is made of: chair for 'chair+plain'."""
    return name.partition('+')[0]


def open_split(
    data: Path, name: str, split: str, variant: int, folder: Path
) -> tuple[Scene, list[Frame], list[Frame]]:
    """A scene, its training and its test frames.

    Args:
        data: folder that holds the folders of the scenes.
        name: of the scene, or of what it is made into, 'NAME+ALTERATION', see `SCENE_ALTERATIONS`.
        split: as in `Scene.split`.
        variant: as in `Scene.split`.
        folder: keeps the images that are made.

    Raises:
        CaldiffError: if there is no such scene, alteration or split.
    """
    _, _, alteration = name.partition('+')
    if alteration and alteration not in SCENE_ALTERATIONS:
        raise CaldiffError(
            f'{name} is not known, expected a scene, or a scene and one of '
            f'{", ".join(f"+{known}" for known in SCENE_ALTERATIONS)}; correct it'
        )

    scene = open_scene(data / base_scene(name))
    train, test = scene.split(split, variant)

    if alteration:
        alter = SCENE_ALTERATIONS[alteration]
        scene, train, test = alter(replace(scene, name=name), train, test, folder / name)

    return scene, train, test
