# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the readers share: JSON, splits, and the images that frames are fitted to."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.scenes.images import same_aspect, shows_upright
from caldiff_ros.scenes.pixels import exif_orientation, image_size
from caldiff_ros.scenes.scene import Frame, Split

logger = logging.getLogger(__name__)


def read_json(path: Path) -> dict:
    """The object in a JSON file, with or without a byte order mark.

    Raises:
        CaldiffError: if it cannot be read or holds anything else.
    """
    content = read_json_value(path)
    if not isinstance(content, dict):
        raise CaldiffError(
            f'{path} holds a {type(content).__name__}, expected a JSON object; export it again'
        )

    return content


def read_json_value(path: Path) -> object:
    """What is in a JSON file: an object, a list, ...

    Raises:
        CaldiffError: if it cannot be read.
    """
    try:
        return json.loads(path.read_bytes())  # of bytes, it recognizes UTF-8 and UTF-16 marks
    except (OSError, ValueError) as error:
        raise CaldiffError(
            f'{path} cannot be read as JSON ({error}); repair the file or export it again'
        ) from error


def read_splits(root: Path, name_of: Callable[[str, int], str | None]) -> dict[str, list[Split]]:
    """The variants of every split in ``root/splits.json``; empty without that file.

    A file of another program is ignored with a message.

    Args:
        root: folder of the dataset.
        name_of: name of the frame that a number stands for in the 'train' or 'test' list; None if
            there is no such frame. Frames may also be given by name.
    """
    path = root / 'splits.json'
    if not path.is_file():
        return {}

    content = read_json_value(path)
    if not _lists_variants(content):
        logger.warning(
            '%s is ignored, as it was written by another program: it has no list of '
            'variants for every split',
            path,
        )
        return {}

    def names(part: str, entries: list) -> tuple[str, ...]:
        named = (
            e if isinstance(e, str) else name_of(part, int(e)) or f'{part} {e}' for e in entries
        )
        return tuple(named)

    try:
        return {
            split: [Split(*(names(part, v[part]) for part in ('train', 'test'))) for v in variants]
            for split, variants in content.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise CaldiffError(
            f'{path} is not understood ({error!r}), expected for every split a list of variants '
            'with lists of frames "train" and "test"; repair the file'
        ) from error


def _lists_variants(content: object) -> TypeGuard[dict[str, list[dict]]]:
    return isinstance(content, dict) and all(
        isinstance(variants, list) and all(isinstance(variant, dict) for variant in variants)
        for variants in content.values()
    )


def fitted_to_files(frames: Sequence[Frame], as_stored: bool = False) -> list[Frame]:
    """Frames with their cameras at the size of their images, turned as EXIF says where that fits.

    Scaled intrinsics and upside-down images are logged once. A frame whose image cannot be
    read or has another aspect stays as it is: it is refused when it is needed.

    Args:
        frames: as the dataset describes them.
        as_stored: see `shows_upright`.
    """
    fitted = [_fitted_to_file(frame, as_stored) for frame in frames]
    changed = [
        (before, after)
        for before, after in zip(frames, fitted, strict=True)
        if _size(before.camera) != _size(after.camera)
    ]
    if changed:
        before, after = changed[0]
        logger.warning(
            '%d of %d images have another size than their intrinsics, which are scaled, such as '
            '%s with %dx%d instead of %dx%d pixels',
            len(changed),
            len(frames),
            after.image_path,
            *_size(after.camera),
            *_size(before.camera),
        )

    upside_down = [f for f in fitted if f.upright and exif_orientation(f.image_path) < 5]
    if upside_down:
        logger.warning(
            '%d of %d images are turned over as their EXIF orientation says, such as %s; remove '
            'the tag where the poses are those of the images as they are stored',
            len(upside_down),
            len(frames),
            upside_down[0].image_path,
        )

    return fitted


def _size(camera: Camera) -> tuple[int, int]:
    return camera.width, camera.height


def _fitted_to_file(frame: Frame, as_stored: bool) -> Frame:
    try:
        upright = shows_upright(frame.image_path, frame.camera, as_stored)
        size = image_size(frame.image_path, upright)
    except CaldiffError:
        return frame

    camera = frame.camera
    if size != _size(camera) and same_aspect(camera, *size):
        camera = camera.resized(*size)

    return replace(frame, camera=camera, upright=upright)


def without_duplicates(frames: Sequence[Frame]) -> list[Frame]:
    """The first frame of each image file: what is in two lists would be trained on and tested on.

    Dropped frames are logged once.
    """
    first: dict[Path, Frame] = {}
    for frame in frames:
        first.setdefault(frame.image_path.resolve(), frame)

    if len(first) < len(frames):
        kept = list(first.values())
        dropped = next(f for f in frames if not any(f is k for k in kept))
        logger.warning(
            '%d of %d frames are dropped because another frame has the same image, such as %s',
            len(frames) - len(first),
            len(frames),
            dropped.image_path,
        )

    return list(first.values())


def warn_skipped(missing: list[Path], total: int) -> None:
    """One warning for all frames whose file is missing."""
    if missing:
        logger.warning(
            '%d of %d frames are skipped because their file is missing, such as %s',
            len(missing),
            total,
            missing[0],
        )
