# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments and data shared by build-map, train-nerf and train-diffusion."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import AvoidSubcommands, FlagCreatePairsOff, arg

from caldiff_ros.cli.checked import RememberedCheck
from caldiff_ros.cli.common import Device, OptionalDataPath
from caldiff_ros.cli.splat_options import SplatOptions
from caldiff_ros.devices import pick_device
from caldiff_ros.errors import CaldiffError, NoImageError
from caldiff_ros.geometry.transforms import upright, upward
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.map import check_output
from caldiff_ros.mapping.adopted_splat import AdoptedSplat, adopt_splat
from caldiff_ros.mapping.build import BuildConfig
from caldiff_ros.mapping.context import BuildContext, Report, no_report
from caldiff_ros.mapping.nerfacto_training import AdoptedNerfacto
from caldiff_ros.mapping.nerfstudio_run import NerfstudioRun
from caldiff_ros.mapping.resolution import working_resolution
from caldiff_ros.mapping.splat_renders import KnownCameras, rendered_data
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.mapping.upwards import say_up, up_of_cameras
from caldiff_ros.nerf.kinds import FIELD_KINDS, NATIVE_KIND
from caldiff_ros.scenes import Frame, open_scene
from caldiff_ros.scenes.checking import CaptureReport, ConventionRule
from caldiff_ros.scenes.trajectory import Trajectory, read_trajectory
from caldiff_ros.splats.splat import Splat

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BuildArguments:
    """Arguments of build-map, train-nerf and train-diffusion."""

    data: OptionalDataPath = None
    """Dataset with known poses: COLMAP, nerfstudio, Blender, Polycam, Record3D, INRIA or 7-Scenes.
    build-map also takes a video or a folder of photos. With --nerf the default is the dataset that
    the run was trained on."""

    output: Path
    """Folder to write the map to. Checkpoints go to OUTPUT-training beside it."""

    nerf: Path | None = None
    """config.yml of an ns-train nerfacto run whose field is used. Requires nerfstudio."""

    splat: Annotated[SplatOptions, arg(name='')] = field(default_factory=SplatOptions)
    """A splat trained elsewhere."""

    split: str | None = None
    """Split whose training images are used, such as 50-25 (50 training, 25 test images). Default:
    the training set of the dataset."""

    variant: int = 0
    """Variant of the split."""

    downscale_factor: float | None = None
    """Factor by which the images are downscaled. Default: a resolution that this machine can train
    in minutes, no higher than localization uses."""

    check: bool = True
    """First check that poses, intrinsics and images are consistent, as caldiff check does."""

    convention: ConventionRule = 'auto'
    """What to do if the images show that the poses are in another convention than that of the
    format: auto converts them, strict reports an error. With --nerf always strict."""

    force: FlagCreatePairsOff[bool] = False
    """Build even if the check finds problems that spoil a map, or if the map cannot be calibrated;
    with such a map no image is ever LOCALIZED."""

    scale: float | None = None
    """Metres per unit of the training poses: a known distance divided by the same distance in the
    poses. The map is then in metres. Use 1 for poses that are already in metres; those of 7-Scenes
    are known to be."""

    up: str | None = None
    """Up direction in the frame of the training poses: x, y, z, -x, -y, -z, or three numbers such
    as 0,-0.9,0.1. The map is rotated so that z is up. Default: no rotation; with --splat the up
    direction that is found is printed, and cameras are held upright by it."""

    preset: str = 'fast'
    """Training preset of the diffusion model and nerfacto: 'fast' is meant for a CPU; there 'paper'
    takes hours, with nerfacto days."""

    field_kind: Annotated[str, arg(name='field')] = NATIVE_KIND
    """Radiance field to train: 'gaussians'; 'tiny', the TinyNeRF of the paper, which requires a
    GPU; or 'nerfacto', which requires nerfstudio and is small and blurred with preset 'fast'."""

    device: Device = 'auto'
    """Device for the computation; auto uses the GPU if there is one."""

    seed: int = 0
    """Random seed of the whole build."""

    config: Annotated[BuildConfig, AvoidSubcommands, arg(name='')] = field(
        default_factory=BuildConfig
    )
    """Expert options."""

    @property
    def work(self) -> Path:
        """Folder of the checkpoints."""
        return self.output.with_name(f'{self.output.name}-training')

    def load(self, report: Report = no_report) -> tuple[TrainingData, BuildConfig]:
        """The images and the configuration, after everything that can fail early was checked."""
        check_output(self.output)
        upright(self.up)
        if self.splat.splat is None:
            self._refuse_splat_options()
        self._metres_per_unit()
        if self.splat.splat is None:
            return self._read(), self.build

        if self.nerf is not None:
            raise CaldiffError(
                f'both --splat {self.splat.splat} and --nerf {self.nerf} are given, expected one '
                'field; omit one of them'
            )

        splat = self.splat.read(self.data)
        if self.data is None:
            data, adopted = self._rendered(splat, None, report)
        else:
            try:
                data = self._read()
            except NoImageError:
                data, adopted = self._rendered(splat, read_trajectory(self.data), report)
            else:
                source = self.splat.source(splat, data.frames[0].camera.pinhole())
                adopted = adopt_splat(source, data, self.context(report))
                if self.up is None:
                    say_up(up_of_cameras(data.views.T_norm_cam))
        return data, replace(self.build, field=adopted)

    def _rendered(
        self, splat: Splat, trajectory: Trajectory | None, report: Report
    ) -> tuple[TrainingData, AdoptedSplat]:
        """Renders of a splat where there is no image, and its field."""
        if self.split is not None:
            raise CaldiffError(
                f'--split {self.split} is given and there is no image, expected a dataset with '
                'images; omit it'
            )

        cameras = KnownCameras(
            camera=self.splat.camera() if trajectory is None else trajectory.camera,
            factor=self.downscale_factor,
            up=None if self.up is None else torch.from_numpy(upward(self.up)).float(),
            trajectory=trajectory,
        )
        source = self.splat.source(splat, cameras.camera)
        return rendered_data(source, cameras, self.context(report))

    def _refuse_splat_options(self) -> None:
        if self.splat.flags:
            raise CaldiffError(
                f'{" ".join(self.splat.flags)} is given without --splat, expected a splat; give '
                'one, or omit the option'
            )

    def _metres_per_unit(self) -> float | None:
        """The scale that is given, if any.

        Raises:
            CaldiffError: if it is none, or given twice.
        """
        by_points = self.splat.metres_per_unit()
        if by_points is None and self.scale is not None and not 0 < self.scale < float('inf'):
            raise CaldiffError(
                f'the scale is {self.scale}, expected metres per unit of the training poses; give '
                'a positive number, or omit it if unknown'
            )
        if by_points is not None and self.scale is not None:
            raise CaldiffError(
                f'the scale is given twice, by --scale {self.scale} and by --scale-points, '
                'expected one of them; omit the other'
            )
        return self.scale if by_points is None else by_points

    def _read(self) -> TrainingData:
        """The images."""
        FIELD_KINDS[self.build.field.kind].check_installed()
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
        """The report, with its notes logged; findings are an error unless forced."""
        if report.findings and not self.force:
            reasons = '; '.join(row.text for row in report.findings)
            raise CaldiffError(f'{report.verdict}: {reasons}; or build anyway with --force')

        for row in report.rows:
            if row.level in ('note', 'finding'):
                logger.warning('%s: %s', row.check, row.text)

        return report

    def _chosen_factor(self, train: Sequence[Frame]) -> float:
        """The downscale factor; it is logged with the expected duration of the build."""
        if not train:
            return 1.0  # loading them reports the error

        device = pick_device(self.device)
        given = self.splat.splat is not None
        training = None if given else self.build.field
        resolution = working_resolution(train, training, device, self.downscale_factor)
        logger.info('%s %s', 'using the splat with' if given else 'training on', resolution)
        return resolution.factor

    @cached_property
    def run(self) -> NerfstudioRun | None:
        """The run named by --nerf."""
        return None if self.nerf is None else NerfstudioRun.load(self.nerf, self.data)

    @property
    def build(self) -> BuildConfig:
        """The build configuration, with the field of --nerf and --force applied."""
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
        """Write the map with its provenance."""
        built.provenance.update(split=self.split, variant=self.variant, preset=self.preset)

        scale = self._metres_per_unit()
        if scale is not None:
            built.scale, built.metric = scale, True
        if self.up is not None:
            built.T_map_scene = upright(self.up)

        built.save(self.output)
