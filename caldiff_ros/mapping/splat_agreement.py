# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether photographs and a splat that others have trained agree: place, size, and poses."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.query import Query
from caldiff_ros.mapping.calibration import queries_of
from caldiff_ros.mapping.landmark_views import spread_out
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.gaussians import GaussianField
from caldiff_ros.wording import counted

logger = logging.getLogger(__name__)

#: Photographs that are compared, the farthest from each other, and the size at which their place is
#: checked.
_PHOTOGRAPHS = 10
#: How many of them are used to check the place and to find the training size.
_PLACED, _SIZED = 6, 4
_PLACE_SIDE = 50
#: How often a photograph looks more like what the splat shows from its pose than from that of
#: another one; half of the time if it knows nothing of the splat.
_LEAST_AGREEMENT = 0.75
#: Less than this share of opaque pixels is nothing.
LEAST_OPACITY = 0.05
#: How many times as large the photographs may be as the images that the splat was trained on.
_REDUCTIONS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
#: The usual longest side in training; trainers reduce larger photographs to it.
USUAL_SIDE = 1600
#: Poses that are turned by less than this are the same, and by how much of the common turn single
#: ones may differ from it.
_LEAST_TURN_DEG = 0.03
_MOST_SPREAD = 0.5
#: A correlation finds most of a shift; what is left is looked for again, this often at most.
_CORRELATIONS = 4


@dataclass(frozen=True)
class TrainedSize:
    """How the images were made that a splat was trained on.

    Attributes:
        focal_px: their focal length.
        antialiased: whether they were rendered with anti-aliasing in training.
    """

    focal_px: float
    antialiased: bool

    def apply(self, field: GaussianField) -> None:
        """Let a field show images of all sizes accordingly."""
        field.focal_px, field.antialiased = self.focal_px, self.antialiased
        field.eval()


class Agreement:
    """A field and some photographs that are far from each other.

    Args:
        field: of the splat.
        views: photographs.
    """

    def __init__(self, field: GaussianField, views: Views) -> None:
        some = views.subset(spread_out(views.T_norm_cam, _PHOTOGRAPHS))
        self._field = field
        self._poses = some.T_norm_cam.to(field.aabb.device)
        self._photographs = [
            (query, self._poses[i : i + 1]) for i, query in enumerate(queries_of(some, field))
        ]

    def check_place(self) -> None:
        """Refuse a splat that shows nothing where the photographs were taken, or something else.

        Raises:
            CaldiffError: if it does.
        """
        queries = [query.level(_PLACE_SIDE) for query, _ in self._photographs[:_PLACED]]
        poses = self._poses[: len(queries)]
        opaque = float(self._field.render(poses, queries[0].camera).opacity.mean())
        if opaque < LEAST_OPACITY:
            raise CaldiffError(
                f'the splat is empty in the view of the images, {opaque:.0%} of their pixels show '
                'something, expected a splat in the frame of their poses; give the images it was '
                'trained on, or --transform'
            )

        errors = torch.stack([query.photometric_error(self._field, poses) for query in queries])
        n = len(errors)
        nearer = (errors.diagonal()[:, None] < errors).sum() / max(1, n * (n - 1))
        if n > 1 and not nearer >= _LEAST_AGREEMENT:
            raise CaldiffError(
                f'the splat does not show what the images show: of {counted(n, "photograph")} '
                f'{nearer:.0%} look most like it at their own poses, expected all; give images of '
                'the same place in the frame of the splat, or --transform'
            )

    def find_size(self, focal_px: float, longer_side: int, antialiased: bool | None) -> TrainedSize:
        """The size of the training images at which the splat explains the photographs best.

        Args:
            focal_px: of the photographs as they are on disk.
            longer_side: of these, in pixels.
            antialiased: whether the training had anti-aliasing; None if that is not known.
        """
        if antialiased:
            return TrainedSize(focal_px, True)  # right at all sizes

        reductions = sorted({*_REDUCTIONS, max(1.0, longer_side / USUAL_SIDE)})
        tried = [TrainedSize(focal_px / reduction, False) for reduction in reductions]
        if antialiased is None:
            tried.append(TrainedSize(focal_px, True))
        return min(tried, key=self._error_at)

    def common_shift(self) -> Tensor | None:
        """By how much photographs are shifted against what the splat shows from their poses.

        Returns:
            To the right and down, (2,), as a share of the focal length; None if there is no shift
            that most of them have in common.
        """
        shifts = torch.stack([self._shift(query, pose) for query, pose in self._photographs])
        common = shifts.median(0).values
        spread = (shifts - common).norm(dim=-1).median()
        if common.norm() < math.radians(_LEAST_TURN_DEG) or spread > _MOST_SPREAD * common.norm():
            return None
        return common

    def undo_turn(self) -> float:
        """Look for a common turn of the poses, say it, and undo it.

        A trainer that takes the principal point for the centre, or pixels to be elsewhere, turns
        all rays alike. It is undone if the photographs are explained better then.

        Returns:
            The turn that was found, in degrees; 0 without.
        """
        before, was = self._error(), self._field.shift
        common = torch.zeros(2)
        for _ in range(_CORRELATIONS):
            found = self.common_shift()
            if found is None:
                break
            common = common + found
            self._field.shift = was[0] + float(common[0]), was[1] + float(common[1])

        if not common.any():
            return 0.0

        undone = self._error() < before
        if not undone:
            self._field.shift = was

        degrees = math.degrees(float(common.norm()))
        logger.warning(
            'the poses of this splat are rotated by %.2g deg against its photographs; %s',
            degrees,
            'that is undone' if undone else 'answers will be, too',
        )
        return degrees

    def psnr(self) -> float:
        """Of the photographs, with the exposure of each, in dB."""
        return -10 * math.log10(max(self._error(), 1e-9))

    def _shift(self, query: Query, pose: Pose) -> Tensor:
        """See `common_shift`, of one photograph, by phase correlation."""
        shown = self._field.render(pose, query.camera).rgb_uint8[0].cpu().numpy()
        rendered, photograph = (
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) * query.seen
            for image in (shown, query.image)
        )
        window = cv2.createHanningWindow((query.camera.width, query.camera.height), cv2.CV_32F)
        (du, dv), _ = cv2.phaseCorrelate(
            rendered - rendered.mean(), photograph - photograph.mean(), window
        )
        return torch.tensor([du / query.camera.fx, dv / query.camera.fy])

    def _error(self, most: int = _PHOTOGRAPHS) -> float:
        """Mean squared difference, with the exposure of each photograph."""
        some = self._photographs[:most]
        return sum(
            float(query.mean_squared_difference(self._field, pose, query.seen_pixels)[0])
            for query, pose in some
        ) / len(some)

    def _error_at(self, size: TrainedSize) -> float:
        with _as_it_was(self._field):
            size.apply(self._field)
            return self._error(_SIZED)


@contextmanager
def _as_it_was(field: GaussianField) -> Iterator[None]:
    """Afterwards the field has the size that it had."""
    was = TrainedSize(field.focal_px, field.antialiased)
    try:
        yield
    finally:
        was.apply(field)
