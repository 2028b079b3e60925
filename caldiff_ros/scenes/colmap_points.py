# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The points of a COLMAP model, for the frames of the dataset that was made with it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry.similarity import Similarity
from caldiff_ros.scenes.colmap_model import ColmapModel, read_model
from caldiff_ros.scenes.finding import normalized_name
from caldiff_ros.scenes.scene import Frame, ScenePoints

logger = logging.getLogger(__name__)

#: How far the poses of a dataset may be from those of the model that its points are taken from:
#: entries of a rotation, and shares of the distance between the outermost cameras.
_MAX_DEVIATION = 1e-3
#: Images in common from which the similarity between the two is found.
_FEWEST_IMAGES = 3


def points_of(model: ColmapModel, names: Mapping[str, str]) -> ScenePoints | None:
    """The points of a model; None without.

    Args:
        model: what was read.
        names: names of frames by those of the model's images.
    """
    if len(model.xyz) == 0:
        return None

    image_ids, points = model.tracks.T
    order = np.argsort(image_ids, kind='stable')
    ids, starts = np.unique(image_ids[order], return_index=True)
    shown = np.split(points[order], starts)[1:]
    seen_by = {
        names[model.images[number].name]: np.unique(indices)
        for number, indices in zip(ids.tolist(), shown, strict=True)
        if number in model.images and model.images[number].name in names
    }

    return ScenePoints(model.xyz, model.rgb, seen_by)


def points_of_frames(folder: Path, frames: Sequence[Frame]) -> ScenePoints | None:
    """The points of the model that the poses of frames were made from, in the map of the frames.

    Tools turn, scale and centre what COLMAP gives them. The similarity is found again from the
    poses of the images that both have; where there is none, the model is of something else.

    Args:
        folder: of the model.
        frames: of the dataset.
    """
    try:
        model = read_model(folder)
    except CaldiffError as error:
        logger.warning('the points of structure from motion are not used: %s', error)
        return None

    by_file_name = defaultdict(list)
    for frame in frames:
        by_file_name[PurePosixPath(frame.name).name].append(frame)

    pairs = []
    for image in model.images.values():
        candidates = by_file_name[PurePosixPath(normalized_name(image.name)).name]
        if len(candidates) == 1:
            pairs.append((image.name, np.linalg.inv(image.T_cam_map), candidates[0]))

    points = points_of(model, {name: frame.name for name, _, frame in pairs})
    if points is None or len(pairs) < _FEWEST_IMAGES:
        return None

    similarity = _similarity(
        np.stack([T_model_cam for _, T_model_cam, _ in pairs]),
        np.stack([frame.T_map_cam for _, _, frame in pairs]),
    )
    if similarity is None:
        logger.warning(
            'the points of structure from motion in %s are not used, as its poses are not those of '
            'the dataset in other coordinates',
            folder,
        )
        return None

    return ScenePoints(similarity.transform(points.xyz), points.rgb, points.seen_by)


def _similarity(T_model_cam: np.ndarray, T_map_cam: np.ndarray) -> Similarity | None:
    """From the model to the map; unlike `Similarity.fit`, also of cameras along a line.

    Args:
        T_model_cam: poses (N, 4, 4) in the model.
        T_map_cam: the same in the map.

    Returns:
        The similarity; None where the poses are not the same but for one.
    """
    # 1. The rotation that all cameras agree on
    turns = T_map_cam[:, :3, :3] @ T_model_cam[:, :3, :3].transpose(0, 2, 1)
    U, _, Vt = np.linalg.svd(turns.mean(axis=0))
    R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt

    # 2. Scale and translation by least squares
    centers_model, centers_map = T_model_cam[:, :3, 3] @ R.T, T_map_cam[:, :3, 3]
    mean_model, mean_map = centers_model.mean(axis=0), centers_map.mean(axis=0)
    around_model, around_map = centers_model - mean_model, centers_map - mean_map
    spread = float((around_model**2).sum())
    scale = float((around_model * around_map).sum()) / spread if spread > 0 else 0.0
    if scale <= 0:
        return None

    # 3. What it leaves
    residual = np.abs(scale * around_model - around_map).max() / np.ptp(centers_map, axis=0).max()
    if max(residual, np.abs(turns - R).max()) > _MAX_DEVIATION:
        return None

    return Similarity(scale, R, mean_map - scale * mean_model)
