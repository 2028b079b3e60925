# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PSNR of a splat on photographs at full, half and quarter size, by three filters.

Ours renders every size as the training saw it; 3DGS's adds its 0.3 square pixels at any size; the
anti-aliased one takes as much opacity. The full size is that of the training images, which is found
from the training photographs; the table is of the test photographs of the split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tyro.conf import Positional

from caldiff_ros.cli.splat_options import SplatOptions
from caldiff_ros.geometry import Camera
from caldiff_ros.localization.query import Query
from caldiff_ros.mapping.adopted_splat import adopt_splat
from caldiff_ros.mapping.calibration import queries_of
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.splat_agreement import TrainedSize
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.gaussians import GaussianField
from caldiff_ros.scenes import open_scene


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of the script."""

    splat: Annotated[Positional[Path], tyro.conf.arg(metavar='SPLAT')]
    """The splat."""

    data: Annotated[Positional[Path], tyro.conf.arg(metavar='DATA')]
    """Photographs of its place in its frame."""

    split: str | None = None
    """Split whose test images are measured."""

    trained_at: str | None = None
    """See caldiff build-map."""


def main(arguments: Arguments) -> None:
    """Print the table."""
    options = SplatOptions(splat=arguments.splat, trained_at=arguments.trained_at)
    splat = options.read(arguments.data)
    scene = open_scene(arguments.data)
    train, test = scene.split(arguments.split)
    photograph = train[0].camera.pinhole()

    # at the size of the training, once that is known
    source = options.source(splat, photograph)
    data = TrainingData.load(scene, train, test, _working_factor(photograph))
    field = adopt_splat(source, data, BuildContext()).field
    full = photograph.downscaled(photograph.fx / field.focal_px)

    print('| size | as trained | 3DGS | anti-aliased |')
    print('|---|---|---|---|')
    for factor in (1, 2, 4):
        camera = full.downscaled(factor)
        queries = queries_of(Views.load(test, camera, data.normalization), field)
        poses = Views.load(test, camera, data.normalization).T_norm_cam
        sizes = [
            TrainedSize(field.focal_px, field.antialiased),
            TrainedSize(camera.fx, False),
            TrainedSize(field.focal_px, True),
        ]
        row = [f'{_psnr(field, size, queries, poses):.1f}' for size in sizes]
        print('|', f'{camera.width}x{camera.height}', '|', ' | '.join(row), '|', flush=True)


def _working_factor(photograph: Camera) -> float:
    """By which photographs are reduced to look for the size of the training."""
    return max(1.0, max(photograph.width, photograph.height) / 480)


def _psnr(field: GaussianField, size: TrainedSize, queries: list[Query], poses) -> float:
    """Mean over photographs in dB, each with its exposure."""
    was = TrainedSize(field.focal_px, field.antialiased)
    size.apply(field)
    decibels = []
    for i, query in enumerate(queries):
        exposed = replace(query, affine_exposure=True)
        error = exposed.mean_squared_difference(field, poses[i : i + 1], query.seen_pixels)
        decibels.append(-10 * math.log10(float(error[0])))

    was.apply(field)
    return sum(decibels) / len(decibels)


if __name__ == '__main__':
    torch.set_grad_enabled(False)
    main(tyro.cli(Arguments, description=__doc__))
