# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Build the map of a place from images with known poses.

Trains a radiance field, renders views from it, trains the pose diffusion model on them, calibrates
the confidence on held-out images, and writes the folder OUTPUT. To resume an interrupted build,
start it again with the same arguments.

For a first map: caldiff build-map DATA --output my_map. DATA can also be a video or a folder of
photos; their poses are then estimated first, as caldiff capture does with the options from --camera
to --gps, and the dataset is written to OUTPUT-data.

For a NeRF trained with nerfstudio: caldiff build-map --nerf RUN/config.yml --output my_map. The
robot does not need nerfstudio.

The first box of options below holds all that is usually needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from caldiff_ros.capture.capture import Capture, is_bare
from caldiff_ros.cli import presets
from caldiff_ros.cli.building import BuildArguments
from caldiff_ros.cli.capture import PictureOptions, make_dataset
from caldiff_ros.cli.progress import TrainingProgress
from caldiff_ros.console import plain_console
from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.trust_basis import trust_basis
from caldiff_ros.mapping.build import build_map


@dataclass(frozen=True, kw_only=True)
class Arguments(BuildArguments):
    """Arguments of ``caldiff build-map``."""

    given: Annotated[PictureOptions, arg(name='')] = field(default_factory=PictureOptions)
    """Scale and calibration of a video or photos without poses."""


def defaults(argv: Sequence[str]) -> Arguments:
    """See `presets.defaults`."""
    return presets.defaults(Arguments, argv)


def run(arguments: Arguments) -> int:
    """Build and write the map."""
    arguments = _with_poses(arguments)
    with TrainingProgress(plain_console(stderr=True)) as report:
        data, config = arguments.load(report)
        built = build_map(data, config, arguments.context(report))

    arguments.save(built)
    shutil.rmtree(arguments.work)
    console = plain_console(soft_wrap=True)
    what = 'images' if data.frames else 'renders'
    console.print(f'map of {len(data.views)} {what} written to {arguments.output}')
    console.print(_quality(built))

    return 0


def _quality(built: LocalizationMap) -> str:
    """What the map was calibrated by, and how well that went."""
    said = trust_basis(built)
    problem = built.calibration.problem
    return f'{said}; NOT CALIBRATED, nothing will be LOCALIZED: {problem}' if problem else said


def _with_poses(arguments: Arguments) -> Arguments:
    """The arguments with a dataset, made of the pictures where they have no poses."""
    given, splat = arguments.given, arguments.splat.splat
    if splat is not None and arguments.data is not None and is_bare(arguments.data):
        raise CaldiffError(
            f'{arguments.data} has no poses and --splat {splat} is given, expected a dataset with '
            'poses in the frame of the splat; give one, or give the splat alone'
        )
    if arguments.data is None or not is_bare(arguments.data):
        _refuse_options(given, arguments.data)
        return arguments

    scale = given.scale_source()
    if scale is not None and arguments.scale is not None:
        raise CaldiffError(
            f'the scale is given twice, by --scale and {" ".join(given.flags)}, expected one of '
            'them; omit --scale, as the poses will be in metres'
        )

    dataset = arguments.output.with_name(f'{arguments.output.name}-data')
    capture = Capture(arguments.data, dataset, scale=scale, calibration=given.calibration())
    if not capture.is_done():
        make_dataset(capture)
    return replace(arguments, data=dataset)


def _refuse_options(given: PictureOptions, data: Path | None) -> None:
    """Reject options for estimating poses where the poses are known."""
    if given.flags:
        raise CaldiffError(
            f'{" ".join(given.flags)} is given but {data or "the field"} already has poses, '
            'expected a video or a folder of photos; omit the option, and give --scale if the unit '
            'is not the metre'
        )
