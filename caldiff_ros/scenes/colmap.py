# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""COLMAP folders: a sparse model beside its images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, checked_pose
from caldiff_ros.scenes.colmap_model import (
    ColmapImage,
    ColmapModel,
    model_kind,
    read_model,
)
from caldiff_ros.scenes.colmap_points import points_of
from caldiff_ros.scenes.conventions import COLMAP
from caldiff_ros.scenes.finding import expected_path, find_files, normalized_name
from caldiff_ros.scenes.intrinsics import colmap_camera
from caldiff_ros.scenes.reading import fitted_to_files, read_splits, warn_skipped
from caldiff_ros.scenes.scene import Frame, Scene, ScenePoints

logger = logging.getLogger(__name__)

#: Where a model lies in a dataset: COLMAP's own place, and that of ns-process-data.
_PLACES = ('sparse', 'colmap/sparse', 'colmap', '')
#: Folders that only lead to a model: the images are beside them.
_LEADING_TO_MODELS = ('sparse', 'colmap')


def find_colmap_model(root: Path) -> Path | None:
    """The folder of the COLMAP model of a dataset, or None.

    Where structure from motion fell apart, sparse/0, sparse/1, ... are models of parts of the
    scene; the one with the most information about its images is used, with a message.
    """
    for place in _PLACES:
        candidates = [root / place, *(root / place).glob('[0-9]*')]
        models = sorted(folder for folder in candidates if model_kind(folder))
        if models:
            largest = max(models, key=lambda m: (m / f'images{model_kind(m)}').stat().st_size)
            if len(models) > 1:
                logger.warning(
                    '%s holds %d models that are not connected, of which the largest, %s, is used',
                    root / place,
                    len(models),
                    largest.relative_to(root),
                )
            return largest

    return None


def read_colmap(root: Path, folder: Path) -> Scene:
    """Read a scene from its COLMAP model.

    Poses, unit and axes are those of the model: structure from motion knows neither gravity nor
    the metre. Images are sorted by name, and numbers in ``splits.json`` count them. Images in
    ``masks``, named as COLMAP names them (``masks/NAME.jpg.png``), mask their images.

    Args:
        root: folder of the dataset, or of the model, where the images are above it.
        folder: of the model.
    """
    model = read_model(folder)
    images = sorted(model.images.values(), key=lambda image: image.name)
    base, paths = _image_files(root, [image.name for image in images])
    cameras = _cameras(model, folder)

    frames, names, missing = [], {}, []
    for image, path in zip(images, paths, strict=True):
        if path is None:
            names[image.name] = normalized_name(image.name)
            missing.append(expected_path(base, image.name))
            continue

        names[image.name] = path.relative_to(base).as_posix()
        frames.append(_frame(image, names[image.name], path, cameras, base))

    warn_skipped(missing, len(images))
    ordered = list(names.values())

    def name_of(part: str, number: int) -> str | None:
        return ordered[number] if 0 <= number < len(ordered) else None

    return Scene(
        name=base.name,
        root=base,
        frames=fitted_to_files(frames, as_stored=True),  # COLMAP does not look at EXIF orientations
        splits=read_splits(base, name_of),
        find_points=partial(_points, model, names),
        convention=COLMAP,
    )


def colmap_cameras(folder: Path) -> list[tuple[Camera, np.ndarray]]:
    """Cameras and T_map_cam (4, 4) of a model, whether its images are there or not."""
    model = read_model(folder)
    images = sorted(model.images.values(), key=lambda image: image.name)
    cameras = _cameras(model, folder)
    return [_posed(image, cameras) for image in images]


def _points(
    model: ColmapModel, names: Mapping[str, str], frames: Sequence[Frame]
) -> ScenePoints | None:
    """The points of a model, which are where they are however its poses are to be read."""
    return points_of(model, names)


def _cameras(model: ColmapModel, folder: Path) -> dict[int, Camera]:
    used = {image.camera_id for image in model.images.values()}
    return {
        number: colmap_camera(
            camera.model,
            camera.width,
            camera.height,
            camera.parameters,
            f'camera {number} of {folder}',
        )
        for number, camera in model.cameras.items()
        if number in used
    }


def _frame(
    image: ColmapImage, name: str, path: Path, cameras: dict[int, Camera], base: Path
) -> Frame:
    camera, T_map_cam = _posed(image, cameras)
    mask = base / 'masks' / f'{normalized_name(image.name)}.png'
    return Frame(
        name=name,
        image_path=path,
        camera=camera,
        T_map_cam=T_map_cam,
        mask_path=mask if mask.is_file() else None,
    )


def _posed(image: ColmapImage, cameras: Mapping[int, Camera]) -> tuple[Camera, np.ndarray]:
    """Camera and T_map_cam (4, 4) of an image of a model."""
    if image.camera_id not in cameras:
        raise CaldiffError(
            f'image {image.name} has the camera {image.camera_id}, which the model lacks; export '
            'the model again'
        )

    T_map_cam = np.linalg.inv(checked_pose(image.T_cam_map, f'image {image.name}'))
    return cameras[image.camera_id], T_map_cam


def _image_files(root: Path, names: list[str]) -> tuple[Path, list[Path | None]]:
    """Folder of the dataset, and its images.

    The first place that has any of the images is the one: ``images``, the largest of ``images_2``,
    ``images_4``, ..., or beside the model.
    """
    for base in _datasets(root):
        for folder in _image_folders(base):
            paths = [folder / normalized_name(name) for name in names]
            if any(path.is_file() for path in paths):
                return base, [path if path.is_file() else None for path in paths]

    return root, find_files(root, names)


def _datasets(root: Path) -> Iterator[Path]:
    """The dataset of a folder: itself, or above it if it is sparse/0 or the like."""
    yield root
    while root.name in _LEADING_TO_MODELS or root.name.isdecimal():
        root = root.parent
        yield root


def _image_folders(base: Path) -> list[Path]:
    """Where a dataset may have its images: full size, smaller and smaller, beside the model."""
    smaller = [path for path in base.glob('images_*') if path.name[7:].isdecimal()]
    return [base / 'images', *sorted(smaller, key=lambda path: int(path.name[7:])), base]
