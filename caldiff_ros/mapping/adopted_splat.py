# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The field of a map made of a splat that others have trained."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar

from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.field_training import FieldTraining, FieldViews
from caldiff_ros.mapping.landmark_views import spread_out
from caldiff_ros.mapping.rendered_views import RenderedViewsConfig, poses_around
from caldiff_ros.mapping.splat_agreement import Agreement, TrainedSize
from caldiff_ros.mapping.splat_field import field_of_splat, scaled_to_norm
from caldiff_ros.mapping.splat_reduction import reduced
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.nerf.gaussians import GaussianField
from caldiff_ros.splats.splat import Splat
from caldiff_ros.wording import counted

logger = logging.getLogger(__name__)

#: Training cameras, and views between and around them, from which it is looked up what is seen.
_CAMERAS, _AROUND = 32, 32


@dataclass(frozen=True, kw_only=True)
class SplatSource:
    """A splat as it was given.

    Attributes:
        name: of its file.
        splat: its Gaussians, in the frame of the training poses.
        focal_px: focal length of the images that it was trained on; None if that is not known.
    """

    name: str
    splat: Splat
    focal_px: float | None


@dataclass(frozen=True, kw_only=True)
class AdoptedSplat(FieldTraining):
    """The Gaussians of a splat, as they are but for what no camera sees and no pixel resolves."""

    kind: ClassVar[str] = 'gaussians'

    field: GaussianField
    """The Gaussians, in the normalized coordinates of the training views."""
    facts: dict[str, Any]
    """What a map remembers of them."""
    photographed: bool
    """Whether the training views are photographs, and not renders of the splat itself."""
    budget: int = 200_000
    """Most Gaussians: 160 bytes each in memory, and some 0.25 microseconds of each render."""

    def train(self, data: FieldViews, context: BuildContext) -> GaussianField:
        """See `FieldTraining.train`; nothing is trained."""
        field = self.field.to(context.device)
        if len(field.means) <= self.budget:
            return field

        cameras = data.views.T_norm_cam
        around = poses_around(
            cameras, _AROUND, RenderedViewsConfig(), generator=context.generator()
        )
        seen_from = Pose.cat([cameras[spread_out(cameras, _CAMERAS)], around]).to(context.device)
        field, reduction = reduced(field, seen_from, data.views.camera, self.budget, context)
        logger.info('%s', reduction)
        return field

    @property
    def is_given(self) -> bool:
        """See `FieldTraining.is_given`; renders of itself carry no information."""
        return self.photographed

    def origin(self) -> dict[str, Any]:
        """See `FieldTraining.origin`."""
        return self.facts

    def as_plain(self) -> dict[str, Any]:
        """See `FieldTraining.as_plain`; the Gaussians are in the map."""
        return {'splat': self.facts['splat'], 'budget': self.budget}


def adopt_splat(source: SplatSource, data: TrainingData, context: BuildContext) -> AdoptedSplat:
    """Make a field of a splat that agrees with photographs of its place.

    Args:
        source: the splat.
        data: the photographs.
        context: device.

    Raises:
        CaldiffError: if they show another place.
    """
    views, photograph = data.views, data.frames[0].camera
    splat = source.splat.transformed(scaled_to_norm(data.normalization))
    focal_px = source.focal_px or photograph.fx
    field = field_of_splat(splat, views.T_norm_cam, views.camera, data.background, focal_px)
    field = field.to(context.device)

    # 1. The place, the size, the rays
    agreement = Agreement(field, views)
    agreement.check_place()
    size = TrainedSize(focal_px, field.antialiased)
    longer_side = max(photograph.width, photograph.height)
    if source.focal_px is None:
        size = agreement.find_size(photograph.fx, longer_side, splat.antialiased)
    size.apply(field)
    turn_deg = agreement.undo_turn()
    psnr_db = agreement.psnr()

    # 2. Say it
    side = round(longer_side * size.focal_px / photograph.fx)
    logger.info(
        'the splat, %s trained on images of %d pixels %s anti-aliasing, shows the photographs at '
        'PSNR %.1f dB, with the exposure of each fitted',
        counted(len(splat), 'Gaussian'),
        side,
        'with' if size.antialiased else 'without',
        psnr_db,
    )
    facts = {
        'splat': source.name,
        'splat_gaussians': len(splat),
        'splat_trained_at_px': side,
        'splat_antialiased': size.antialiased,
        'splat_turned_deg': round(turn_deg, 3),
        'splat_psnr_db': round(psnr_db, 1),
    }
    return AdoptedSplat(field=field, facts=facts, photographed=True)
