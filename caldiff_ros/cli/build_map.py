# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make the map of a place from images with known poses.

Trains a radiance field, renders views from it, trains the pose diffusion model on them, measures
what right and wrong answers look like, and writes the folder OUTPUT. A stopped run goes on where it
was when it is started again with the same arguments.

A scene that nerfstudio has trained already is brought by caldiff build-map --nerf RUN/config.yml
--output my_map; the robot needs no nerfstudio then.

A first map is made by caldiff build-map DATA --output my_map, where DATA may also be a video or a
folder of photos: caldiff capture makes a dataset of them first, OUTPUT-data. The first box of
options below holds all that is usually needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

from caldiff_ros.capture.capture import Capture, is_bare
from caldiff_ros.cli import building
from caldiff_ros.cli.building import BuildArguments
from caldiff_ros.cli.capture import make_dataset
from caldiff_ros.cli.progress import TrainingProgress
from caldiff_ros.console import plain_console
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.mapping.build import build_map


@dataclass(frozen=True, kw_only=True)
class Arguments(BuildArguments):
    """Arguments of ``caldiff build-map``."""


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
    if arguments.data is None or not is_bare(arguments.data):
        return arguments

    dataset = arguments.output.with_name(f'{arguments.output.name}-data')
    capture = Capture(arguments.data, dataset)
    if not capture.is_done():
        make_dataset(capture)
    return replace(arguments, data=dataset)
