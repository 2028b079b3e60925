# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train the pose diffusion model of a map, the second half of build-map.

Goes on from the field that caldiff train-nerf with the same arguments left in OUTPUT-training, and
writes the map. The field stays there, to try other settings of the diffusion model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from caldiff_ros.cli import building
from caldiff_ros.cli.building import BuildArguments
from caldiff_ros.cli.progress import TrainingProgress
from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.building import assemble, build_diffusion, calibrated
from caldiff_ros.localization.field_building import build_field
from caldiff_ros.training import pick_device


@dataclass(frozen=True, kw_only=True)
class Arguments(BuildArguments):
    """Arguments of ``caldiff train-diffusion``."""


def defaults(argv: Sequence[str]) -> Arguments:
    """See `building.defaults`."""
    return building.defaults(Arguments, argv)


def run(arguments: Arguments) -> int:
    """Train the diffusion model and write the map."""
    device = pick_device(arguments.device)
    data = arguments.load()
    config, seed, work = arguments.config, arguments.seed, arguments.work

    def refuse(stage: str, step: int, n_steps: int, numbers: dict[str, float]) -> None:
        raise CaldiffError(
            f'{work} holds no finished field of these arguments, expected one; run caldiff '
            'train-nerf with the same arguments first'
        )

    built = build_field(data, arguments.source, seed, device, work, refuse)
    weights = arguments.backbone_weights
    with TrainingProgress(Console(stderr=True)) as report:
        diffusion = build_diffusion(data, built.field, config, seed, device, weights, work, report)
        calibration = calibrated(data, config, seed, device, work, report)
    arguments.save(assemble(data, built, diffusion, calibration, config, seed))
    Console().print(f'map of {len(data.views)} images written to {arguments.output}')
    return 0
