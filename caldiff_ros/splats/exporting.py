# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Gaussians of a map, in its frame."""

from __future__ import annotations

import logging

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.nerf.gaussians import GaussianField
from caldiff_ros.splats.splat import Splat, unit

logger = logging.getLogger(__name__)


def map_splat(loaded: LocalizationMap) -> Splat:
    """The Gaussians of a map in its frame and unit.

    A principal point that their training did not know is left out, and said, as no file of a splat
    has a place for it.

    Raises:
        CaldiffError: if its field is not made of Gaussians.
    """
    field = loaded.field_module
    if not isinstance(field, GaussianField):
        raise CaldiffError(
            f'the field of the map {loaded.name} is of the kind {loaded.field.kind}, expected '
            f'{GaussianField.kind}; build the map with --field {GaussianField.kind}'
        )

    right, down = (share * loaded.camera.fx for share in field.shift)
    if right or down:
        logger.warning(
            'the principal point of the field %s is shifted by %+.1f, %+.1f pixels (right, down) '
            'in images of %dx%d, which a splat file cannot hold; viewers show the place shifted by '
            'as much against the photographs',
            loaded.name,
            right,
            down,
            loaded.camera.width,
            loaded.camera.height,
        )

    values = (field.means, field.log_scales, field.quaternions, field.logits, field.harmonics)
    means, log_scales, quaternions, logits, harmonics = (
        value.detach().cpu().float().numpy() for value in values
    )
    splat = Splat(means, log_scales, unit(quaternions), logits, harmonics, field.antialiased)
    return splat.transformed(_map_from_norm(loaded))


def _map_from_norm(loaded: LocalizationMap) -> np.ndarray:
    """Similarity (4, 4) from normalized coordinates to those of the map."""
    scene_from_norm = np.eye(4)
    scene_from_norm[:3, :3] *= loaded.normalization.side
    scene_from_norm[:3, 3] = loaded.normalization.center
    scene_from_norm[:3] *= loaded.scale
    return np.asarray(loaded.T_map_scene, np.float64) @ scene_from_norm
