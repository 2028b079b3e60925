# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the verbs that make a map share: arguments, data, progress."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, TypeVar

from tyro import MISSING
from tyro.conf import AvoidSubcommands, FlagCreatePairsOff, arg

from caldiff_ros.cli.checked import RememberedCheck
from caldiff_ros.cli.common import Device, OptionalDataPath
from caldiff_ros.devices import pick_device
from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.map import check_output
from caldiff_ros.mapping.build import BUILD_PRESETS, BuildConfig
from caldiff_ros.mapping.context import BuildContext, Report, no_report
from caldiff_ros.mapping.nerfacto_training import AdoptedNerfacto
from caldiff_ros.mapping.nerfstudio_run import NerfstudioRun
from caldiff_ros.mapping.resolution import working_resolution
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.nerf.kinds import FIELD_KINDS, NATIVE_KIND
from caldiff_ros.scenes import Frame, open_scene
from caldiff_ros.scenes.checking import CaptureReport, ConventionRule

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BuildArguments:
    """Arguments of build-map, train-nerf and train-diffusion."""

    data: OptionalDataPath = None
    """Dataset with known poses, of COLMAP, nerfstudio, Blender, Polycam, Record3D, INRIA or
    7-Scenes; for build-map also a video or a folder of photos. Default, with --nerf: what the run
    was trained on."""

    output: Path
    """Folder of the map; checkpoints go to a folder beside it, where a stopped run resumes."""

    nerf: Path | None = None
    """Take the field of an ns-train nerfacto run: its config.yml. Needs nerfstudio."""

    split: str | None = None
    """Split whose training images are used, such as 50-25. Default: the dataset's training set."""

    variant: int = 0
    """Variant of the split."""

    downscale_factor: float | None = None
    """Shrink the images by this factor first. Default: to what training and queries can use, and
    what the machine can train in minutes."""

    check: bool = True
    """Check first that poses, intrinsics and images agree, as caldiff check does."""

    convention: ConventionRule = 'auto'
    """Poses that are clearly in another convention than the format has: auto reads them as the
    images say, strict refuses them. With --nerf always strict."""

    force: FlagCreatePairsOff[bool] = False
    """Build even if the check finds what spoils a map, or the images do not explain each other. A
    map that cannot be calibrated localizes nothing."""

    scale: float | None = None
    """Metres per unit of the training poses, such as a known distance divided by the same in the
    poses; answers are in metres then. 1 says that the poses are in metres, as those of 7-Scenes
    are known to be."""

    preset: str = 'fast'
    """How to train the diffusion model and nerfacto: 'fast' for a CPU, 'paper' takes hours there,
    and days with nerfacto."""

    field_kind: Annotated[str, arg(name='field')] = NATIVE_KIND
    """The radiance field to train: 'gaussians'; 'tiny', the paper's TinyNeRF, which needs a GPU; or
    'nerfacto' of nerfstudio, which needs nerfstudio and is small and blurred with preset 'fast'."""

    device: Device = 'auto'
    """Where to compute; auto takes the GPU if there is one."""

    seed: int = 0
    """Seed of everything random."""

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
        FIELD_KINDS[self.build.field.kind].check_installed()

        if self.scale is not None and not 0 < self.scale < float('inf'):
            raise CaldiffError(
                f'the scale is {self.scale}, expected metres per unit of the training poses; give '
                'a positive number, or omit it where it is not known'
            )

        path = self.data or (self.run.data if self.run else None)
        if path is None:
            raise CaldiffError(
                'no dataset is given, expected the folder of one; give it after the verb, or --nerf'
            )

        scene = open_scene(path)
        check = RememberedCheck(scene, 'strict' if self.run else self.convention, self.work)
        report = self._accepted(check.run()) if self.check else None
        if report is not None:
            scene = report.scene

        train, test = scene.split(self.split, self.variant)
        background = self.config.background
        if self.run is not None and background == 'auto':
            background = 'none'  # nerfacto takes what is transparent for black

        factor = self._chosen_factor(train)
        data = TrainingData.load(scene, train, test, factor, background)
        self.work.mkdir(parents=True, exist_ok=True)
        if report is not None:
            check.remember(report)

        return data

    def _accepted(self, report: CaptureReport) -> CaptureReport:
        """What was found, told; refused if it spoils a map, unless that is forced."""
        if report.findings and not self.force:
            reasons = '; '.join(row.text for row in report.findings)
            raise CaldiffError(f'{report.verdict}: {reasons}; or build all the same with --force')

        for row in report.rows:
            if row.level in ('note', 'finding'):
                logger.warning('%s: %s', row.check, row.text)

        return report

    def _chosen_factor(self, train: Sequence[Frame]) -> float:
        """The downscale factor, which is told with the time that the build will take."""
        if not train:
            return 1.0  # refused by what loads them

        device = pick_device(self.device)
        resolution = working_resolution(train, self.build.field, device, self.downscale_factor)
        logger.info('training on %s', resolution)
        return resolution.factor

    @cached_property
    def run(self) -> NerfstudioRun | None:
        """The run named by --nerf."""
        return None if self.nerf is None else NerfstudioRun.load(self.nerf, self.data)

    @property
    def build(self) -> BuildConfig:
        """What is built: with the field of --nerf if given; if forced, whatever the images say."""
        config = self.config
        if self.force:
            config = replace(config, calibration=replace(config.calibration, stop=False))
        if self.run is not None:
            config = replace(config, field=AdoptedNerfacto(run=self.run))
        return config

    def context(self, report: Report = no_report) -> BuildContext:
        """Seed, device and work folder of the build."""
        device = pick_device(self.device)
        return BuildContext(seed=self.seed, device=device, work=self.work, report=report)

    def save(self, built: LocalizationMap) -> None:
        """Write the map, which remembers the images it was made from."""
        built.provenance.update(split=self.split, variant=self.variant, preset=self.preset)

        if self.scale is not None:
            built.scale = self.scale
            built.metric = True

        built.save(self.output)


Arguments = TypeVar('Arguments', bound=BuildArguments)


def defaults(kind: type[Arguments], argv: Sequence[str]) -> Arguments:
    """Arguments whose configuration is that of the preset and field named in ``argv``.

    They have to be known before the rest is parsed, as every number in them is a flag with its own
    default.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--preset', default='fast')
    parser.add_argument('--field', default=NATIVE_KIND)
    named, _ = parser.parse_known_args(argv)

    if named.preset not in BUILD_PRESETS:
        raise CaldiffError(
            f'preset {named.preset!r} is not known, expected one of {", ".join(BUILD_PRESETS)}; '
            'give one'
        )

    if named.field not in FIELD_KINDS:
        raise CaldiffError(
            f'field {named.field!r} is not known, expected one of {", ".join(FIELD_KINDS)}; give '
            'one'
        )

    training = FIELD_KINDS[named.field].presets()[named.preset]
    config = replace(BUILD_PRESETS[named.preset], field=training)
    return kind(output=MISSING, config=config)
