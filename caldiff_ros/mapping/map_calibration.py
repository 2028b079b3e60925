# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The calibration of a map: on images that a field does not know, or on those of a given field."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.confidence import FEWEST_RIGHT, Calibration
from caldiff_ros.localization.image_quality import ImageQuality
from caldiff_ros.localization.trust_basis import KNOWN_PHOTOGRAPHS, RENDERS
from caldiff_ros.mapping.calibration import (
    CalibrationConfig,
    calibrate,
    check_agreement,
    queries_of,
)
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.field_training import FieldTraining, psnr
from caldiff_ros.mapping.landmark_views import landmarks_of_tracks
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.nerf.field import RadianceField
from caldiff_ros.nerf.kinds import FIELD_KINDS, NATIVE_KIND


def calibrate_map(
    data: TrainingData, training: FieldTraining, config: CalibrationConfig, context: BuildContext
) -> tuple[Calibration, dict[str, Any]]:
    """Right and wrong answers on training images that a second field does not know.

    The map's own field knows all of them, and the test images are left alone. The second field is
    a native one, whatever the map's, as it is trained in a minute or two.

    Returns:
        The calibration, and for the provenance how many images were held out, how many of them
        could be aligned with the second field, and how well it explains them.

    Raises:
        CaldiffError: if they do not explain each other.
    """
    held_out = config.held_out(len(data.views), context.seed)
    # of another kind, or a splat, which nothing trains
    if training.kind != NATIVE_KIND or training.steps(len(data.views)) is None:
        training = FIELD_KINDS[NATIVE_KIND].presets()['fast']

    field = training.shortened(config.training).train(
        data.field_views.without(held_out),
        context.within('calibration'),
    )

    n = int(held_out.sum())
    calibration, psnr_db = _calibrated(data, held_out, field, context)
    if config.stop:
        check_agreement(calibration, n, psnr_db)

    return calibration, _judged(calibration, n, psnr_db, None if data.frames else RENDERS)


def calibrate_given(
    data: TrainingData, field: RadianceField, config: CalibrationConfig, context: BuildContext
) -> tuple[Calibration, dict[str, Any]]:
    """Right and wrong answers of a field that others have trained, on photographs of its place.

    Some of them may have been in its training. In the two splats that this was tried on all of them
    had, and a second field that did not know them, as in `calibrate_map`, gave the same statuses to
    held-out photographs, wrong poses and images of other places.

    Returns:
        See `calibrate_map`.

    Raises:
        CaldiffError: if the field does not explain them.
    """
    chosen = config.chosen(len(data.views), context.seed)
    views = data.views.subset(chosen)
    calibration, psnr_db = _calibrated(data, chosen, field, context)
    if config.stop and calibration.problem:
        raise CaldiffError(
            f'the splat does not explain its photographs: {calibration.problem} ({len(views)} '
            f'photographs, PSNR {psnr_db:.1f} dB); give photographs of the same place in the frame '
            f'of the splat, at least {FEWEST_RIGHT}, or build anyway with --force'
        )

    return calibration, _judged(calibration, len(views), psnr_db, KNOWN_PHOTOGRAPHS)


def _calibrated(
    data: TrainingData, chosen: Tensor, field: RadianceField, context: BuildContext
) -> tuple[Calibration, float]:
    """The calibration of a field on ``chosen`` images, bool (V,), and how well it explains them."""
    quality = ImageQuality.worst(
        [ImageQuality.of(query.image, query.seen) for query in queries_of(data.views, field)]
    )
    views, tracks, landmarks = data.views.subset(chosen), data.tracks, None
    # of all images there are none that know nothing of these
    if tracks is not None and tracks.points.are_enough and not bool(chosen.all()):
        landmarks = landmarks_of_tracks(tracks.without(chosen), ~chosen)

    detailed = None if landmarks is None else data.detailed_images(chosen)
    calibration = calibrate(field, views, quality, context, landmarks, detailed)
    return calibration, psnr(field, views)


def _judged(calibration: Calibration, n: int, psnr_db: float, of: str | None) -> dict[str, Any]:
    """What is remembered of ``n`` images by which a map was calibrated, see `trust_basis`."""
    numbers = {'images': n, 'aligned': calibration.n_right, 'psnr_db': round(psnr_db, 1)}
    return {'calibration': numbers if of is None else {**numbers, 'of': of}}
