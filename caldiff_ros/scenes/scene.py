# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A scene is a list of posed frames and the ways to divide them into training and test."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.scenes.conventions import OPENCV, Convention
from caldiff_ros.wording import counted


@dataclass(frozen=True)
class Frame:
    """One posed image.

    Attributes:
        name: unique in the scene, such as 'train/r_0' or 'seq-01/frame-000003'.
        image_path: the image file.
        camera: intrinsics of that file's image.
        T_map_cam: (4, 4) float64, optical camera to map.
        subset: 'train', 'val' or 'test' where the dataset says so.
        depth_path: depth image, 16-bit or floating-point, if there is one.
        depth_unit: map units per count of the depth image.
        depth_camera: intrinsics of the depth image; None where it is registered to ``camera``.
        mask_path: image whose black pixels hide what is not of the scene, if there is one.
        upright: whether ``camera`` is that of the image turned as its EXIF orientation says.
    """

    name: str
    image_path: Path
    camera: Camera
    T_map_cam: np.ndarray
    subset: str | None = None
    depth_path: Path | None = None
    depth_unit: float = 1e-3
    depth_camera: Camera | None = None
    mask_path: Path | None = None
    upright: bool = False


@dataclass(frozen=True)
class ScenePoints:
    """Points of a scene that structure from motion has triangulated.

    Attributes:
        xyz: (N, 3) float64, map units.
        rgb: (N, 3) uint8.
        seen_by: for the name of a frame, indices of the points that were found in its image.
    """

    xyz: np.ndarray
    rgb: np.ndarray
    seen_by: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.xyz)


@dataclass(frozen=True)
class Split:
    """Names of the training and test frames of one variant of a split."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """A dataset as its reader found it.

    Attributes:
        name: name of the folder.
        root: the folder.
        frames: all frames whose image exists, in the order of the dataset.
        splits: variants of every split of ``splits.json``, by the name of the split.
        background: 'white' where images with alpha belong on white, 'none' for photographs.
        metric: whether the unit of the map is the metre.
        aabb: (2, 3) lower and upper corner of the scene in map units, where the dataset says so.
        find_points: gives the sparse points of structure from motion in the map of the frames it
            is given, where the dataset has points.
        convention: how the dataset writes poses, as its reader took it.
    """

    name: str
    root: Path
    frames: list[Frame]
    splits: dict[str, list[Split]] = field(default_factory=dict)
    background: str = 'none'
    metric: bool = False
    aabb: np.ndarray | None = None
    find_points: Callable[[Sequence[Frame]], ScenePoints | None] | None = None
    convention: Convention = OPENCV

    def sparse_points(self) -> ScenePoints | None:
        """The points of structure from motion, in the map of the frames; None without.

        They are found when they are asked for, as only then is it known how the poses are to be
        read.
        """
        return None if self.find_points is None else self.find_points(self.frames)

    def split(self, name: str | None, variant: int = 0) -> tuple[list[Frame], list[Frame]]:
        """Training and test frames.

        Args:
            name: an entry of ``splits.json``; or 'N-M', drawn with seed ``variant`` from a dataset
                without that entry; or None for the dataset's own division, which for a dataset
                without test set is all frames for both.
            variant: which of the split's variants.

        Raises:
            CaldiffError: on an unknown name or variant, or frames that are not there.
        """
        if name is None:
            train = self._subset('train')
            undivided = all(frame.subset is None for frame in self.frames)
            return (self.frames if undivided else train), self.test_frames()

        if name in self.splits:
            return self._listed_split(name, variant)

        sizes = re.fullmatch(r'([1-9]\d*)-([1-9]\d*)', name)
        if sizes is None or variant < 0:
            known = ', '.join(self.splits) or 'no split'
            raise CaldiffError(
                f'split {name!r} variant {variant} is not known, {self.name} has {known}; '
                "give one of these, or 'N-M' for N training and M test frames drawn at random"
            )

        return self._drawn_split(int(sizes[1]), int(sizes[2]), variant)

    def test_frames(self) -> list[Frame]:
        """The frames of the test set, or all frames where the dataset has none."""
        return self._subset('test') or self.frames

    def _subset(self, subset: str) -> list[Frame]:
        return [frame for frame in self.frames if frame.subset == subset]

    def _listed_split(self, name: str, variant: int) -> tuple[list[Frame], list[Frame]]:
        variants = self.splits[name]
        if not 0 <= variant < len(variants):
            raise CaldiffError(
                f'variant {variant} of split {name!r} does not exist, {self.name} has variants 0 '
                f'to {len(variants) - 1}; give one of these'
            )

        by_name = {frame.name: frame for frame in self.frames}
        chosen = variants[variant]
        missing = [n for n in (*chosen.train, *chosen.test) if n not in by_name]

        if missing:
            raise CaldiffError(
                f'split {name!r} variant {variant} names {counted(len(missing), "frame")} that '
                f'{self.name} does not have, such as {missing[0]}; complete the dataset or use '
                'another split'
            )

        return [by_name[n] for n in chosen.train], [by_name[n] for n in chosen.test]

    def _drawn_split(
        self, n_train: int, n_test: int, variant: int
    ) -> tuple[list[Frame], list[Frame]]:
        """Frames drawn with seed ``variant``, each half in the order of the dataset.

        Training frames come from the training set and test frames from the test set of a dataset
        that has both; otherwise both come from one permutation of all frames.
        """
        rng = np.random.default_rng(variant)
        train_pool, test_pool = self._subset('train'), self._subset('test')

        if train_pool and test_pool:
            enough = n_train <= len(train_pool) and n_test <= len(test_pool)
            train_order = rng.permutation(len(train_pool))
            test_order = rng.permutation(len(test_pool))
        else:
            train_pool = test_pool = self.frames
            enough = n_train + n_test <= len(self.frames)
            order = rng.permutation(len(self.frames))
            train_order = order[:n_train]
            test_order = order[n_train:]

        if not enough:
            raise CaldiffError(
                f'split {n_train}-{n_test} needs more frames than {self.name} has to draw from, '
                f'{len(train_pool)} for training and {len(test_pool)} for test; ask for fewer'
            )

        train = [train_pool[i] for i in sorted(train_order[:n_train])]
        return train, [test_pool[i] for i in sorted(test_order[:n_test])]
