# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make the map of a place from images with known poses.

Trains a radiance field, renders views from it, trains the pose diffusion model on them, measures
what right and wrong answers look like, and writes the folder OUTPUT. A stopped run goes on where it
was when it is started again with the same arguments.

A scene that nerfstudio has trained already is brought by caldiff build-map --nerf RUN/config.yml
--output my_map; the robot needs no nerfstudio then.

A first map is made by caldiff build-map DATA --output my_map, where DATA may also be a video or a
folder of photos: caldiff capture makes a dataset of them first, OUTPUT-data, and takes the options
from --camera to --gps. The first box of options below holds all that is usually needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from caldiff_ros.capture.capture import Capture, is_bare
from caldiff_ros.cli import building
from caldiff_ros.cli.building import BuildArguments
from caldiff_ros.cli.capture import PictureOptions, make_dataset
from caldiff_ros.cli.progress import TrainingProgress
from caldiff_ros.console import plain_console
from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.mapping.build import build_map


@dataclass(frozen=True, kw_only=True)
class Arguments(BuildArguments):
    """Arguments of ``caldiff build-map``."""

    given: Annotated[PictureOptions, arg(name='')] = field(default_factory=PictureOptions)
    """What is known of a video or photos without poses."""


def defaults(argv: Sequence[str]) -> Arguments:
    """See `building.defaults`."""
    return building.defaults(Arguments, argv)


def run(arguments: Arguments) -> int:
    """Build and write the map."""
    data = _with_poses(arguments).load()
    with TrainingProgress(plain_console(stderr=True)) as report:
        built = build_map(data, arguments.build, arguments.context(report))

    arguments.save(built)
    shutil.rmtree(arguments.work)
    console = plain_console(soft_wrap=True)
    console.print(f'map of {len(data.views)} images written to {arguments.output}')
    console.print(_quality(built))

    return 0


def _quality(built: LocalizationMap) -> str:
    """What the images that were held out say about the map."""
    held_out = built.provenance['calibration']
    said = (
        f'held-out images: {held_out["aligned"]} of {held_out["images"]} aligned with a field of '
        f'the others, PSNR {held_out["psnr_db"]} dB'
    )
    problem = built.calibration.problem
    return f'{said}; NOT CALIBRATED, nothing will be LOCALIZED: {problem}' if problem else said


def _with_poses(arguments: Arguments) -> Arguments:
    """The arguments with a dataset, made of the pictures where they have no poses."""
    given = arguments.given
    if arguments.data is None or not is_bare(arguments.data):
        _refuse_options(given, arguments.data)
        return arguments

    scale = given.scale_source()
    if scale is not None and arguments.scale is not None:
        raise CaldiffError(
            f'the scale is given twice, by --scale and {" ".join(given.flags)}, expected one of '
            'them; leave --scale out, as the poses will be in metres'
        )

    dataset = arguments.output.with_name(f'{arguments.output.name}-data')
    capture = Capture(arguments.data, dataset, scale=scale, calibration=given.calibration())
    if not capture.is_done():
        make_dataset(capture)
    return replace(arguments, data=dataset)


def _refuse_options(given: PictureOptions, data: Path | None) -> None:
    """Options that find poses do nothing where there are poses."""
    if given.flags:
        raise CaldiffError(
            f'{" ".join(given.flags)} is given and {data or "the run of --nerf"} has poses '
            'already, expected a video or a folder of photos; leave it out, and give --scale where '
            'the unit is no metre'
        )
