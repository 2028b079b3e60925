# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The field of a map: trained, adopted, or baked."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.baking import bake
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.field_training import FieldTraining, psnr
from caldiff_ros.mapping.gaussian_training import GaussianTraining
from caldiff_ros.mapping.rendered_views import RenderedViewsConfig, poses_around
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.nerf.field import RadianceField
from caldiff_ros.nerf.kinds import FIELD_KINDS

logger = logging.getLogger(__name__)

#: Views on which a baked field is compared with the one that it imitates.
_COMPARED_VIEWS = 4


@dataclass(frozen=True, kw_only=True)
class BakingConfig:
    """How another field is baked into the native field, which needs only torch."""

    extra_views: int = 60
    """Views rendered around the training cameras, besides those at the training cameras."""
    training: GaussianTraining = field(default_factory=lambda: GaussianTraining(exact_depth=True))
    """The native field and its training."""


@dataclass(frozen=True)
class BuiltField:
    """A field and what is to be remembered of its making."""

    field: RadianceField
    origin: dict[str, Any]


def build_field(
    data: TrainingData,
    training: FieldTraining,
    baking: BakingConfig | None,
    context: BuildContext,
) -> BuiltField:
    """Make the field of a map.

    Args:
        data: training images and cameras.
        training: how the field comes to be.
        baking: how a kind that had better be baked is baked; None keeps it as it is.
        context: of the build.

    Raises:
        CaldiffError: if something is needed and missing, or a run cannot be used.
    """
    trained = training.train(data.field_views, context)
    if baking is None or not FIELD_KINDS[training.kind].is_baked:
        return BuiltField(trained, training.origin())

    # 1. Bake it on views all over the region where cameras will be
    cameras = data.views.T_norm_cam
    around = poses_around(
        cameras, baking.extra_views, RenderedViewsConfig(), generator=context.generator()
    )
    baked = bake(
        trained,
        Pose.cat([cameras, around]),
        data.field_views,
        training=baking.training,
        context=context,
    )

    # 2. Say how much worse it shows images that neither was trained on
    kind, views = ('held-out', data.held_out) if data.held_out else ('training', data.views)
    before = psnr(trained, views, _COMPARED_VIEWS)
    after = psnr(baked, views, _COMPARED_VIEWS)
    logger.info(
        'baking costs %.1f dB: on %d %s images %s has %.1f dB and the baked field %.1f dB',
        before - after,
        min(_COMPARED_VIEWS, len(views)),
        kind,
        training.kind,
        before,
        after,
    )

    origin = {'baked_from': training.kind, f'{training.kind}_psnr_db': before}
    return BuiltField(baked, {**training.origin(), **origin})
