# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the verbs that make a map share: arguments, data, progress."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from tyro import MISSING
from tyro.conf import AvoidSubcommands, arg

from caldiff_ros.cli.common import DataPath, Device
from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.building import BUILD_PRESETS, BuildConfig, TrainingData
from caldiff_ros.localization.map import check_output
from caldiff_ros.nerf.training import FactorizedTraining, TinyNerfTraining
from caldiff_ros.scenes import open_scene

FIELDS = {'factorized': FactorizedTraining, 'tiny': TinyNerfTraining}


@dataclass(frozen=True, kw_only=True)
class BuildArguments:
    """Arguments of build-map, train-nerf and train-diffusion."""

    data: DataPath
    """Dataset with known poses: Blender, nerfstudio (Polycam) or 7-Scenes."""

    output: Path
    """Folder of the map; checkpoints go to a folder beside it, where a stopped run resumes."""

    split: str | None = None
    """Split whose training images are used, such as 50-25. Default: the dataset's training set."""

    variant: int = 0
    """Variant of the split."""

    downscale_factor: float = 1.0
    """Shrink the images by this factor first; 100 to 200 pixels of width are enough."""

    preset: str = 'fast'
    """How to train the diffusion model: 'fast' for a CPU, 'paper' takes hours there."""

    field_kind: Literal['factorized', 'tiny'] = 'factorized'
    """The radiance field: a factorized grid, or the paper's TinyNeRF, which needs a GPU."""

    device: Device = 'auto'
    """Where to compute; auto takes the GPU if there is one."""

    seed: int = 0
    """Seed of everything random."""

    backbone_weights: Path | None = None
    """File with the ImageNet weights of the image network, where they cannot be downloaded."""

    config: Annotated[BuildConfig, AvoidSubcommands, arg(name='')] = field(
        default_factory=BuildConfig
    )
    """For experts."""

    @property
    def work(self) -> Path:
        """Folder of the checkpoints."""
        return self.output.with_name(f'{self.output.name}-training')

    def load(self) -> TrainingData:
        """Read the images, after everything that could fail has been checked."""
        check_output(self.output)
        scene = open_scene(self.data)
        train, test = scene.split(self.split, self.variant)
        data = TrainingData.load(scene, train, test, self.downscale_factor, self.config.background)
        self.work.mkdir(parents=True, exist_ok=True)
        return data

    def save(self, built: LocalizationMap) -> None:
        """Write the map, which remembers the images it was made from."""
        origin = {'split': self.split, 'variant': self.variant, 'preset': self.preset}
        built.provenance.update(origin, downscale_factor=self.downscale_factor)
        built.save(self.output)


Arguments = TypeVar('Arguments', bound=BuildArguments)


def defaults(kind: type[Arguments], argv: Sequence[str]) -> Arguments:
    """Arguments whose configuration is that of the preset and field named in ``argv``.

    They have to be known before the rest is parsed, as every number in them is a flag with its own
    default.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--preset', default='fast')
    parser.add_argument('--field-kind', '--field_kind', default='factorized')
    named, _ = parser.parse_known_args(argv)
    if named.preset not in BUILD_PRESETS:
        raise CaldiffError(
            f'preset {named.preset!r} is not known, expected one of {", ".join(BUILD_PRESETS)}; '
            'give one'
        )
    config = BUILD_PRESETS[named.preset]
    field_training = FIELDS.get(named.field_kind, type(config.field))
    if not isinstance(config.field, field_training):
        config = replace(config, field=field_training())
    return kind(data=MISSING, output=MISSING, config=config)
