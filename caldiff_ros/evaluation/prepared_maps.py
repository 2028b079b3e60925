# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The maps of an experiment: built once, and loaded from then on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.altered_scenes import open_split
from caldiff_ros.evaluation.method_results import MapSpec
from caldiff_ros.evaluation.protocol import choose_queries
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.mapping.build import BUILD_PRESETS, BuildConfig, build_map
from caldiff_ros.mapping.context import BuildContext, Report, weights_digest
from caldiff_ros.mapping.resolution import working_resolution
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.scenes import Frame, Scene


@dataclass(frozen=True)
class ExperimentConfig:
    """What all cells of an experiment have in common.

    Attributes:
        data: folder that holds the folders of the scenes.
        output: folder of maps, cells and tables.
        image_width: width that images are reduced to for all methods, in pixels; None for maps of
            the size that caldiff build-map chooses, beside which Hloc sees the photographs at full
            size.
        queries: test images per map, evenly spread over all; None for all.
        seed: of maps and methods.
        device: where to compute.
        build: how maps are built.
    """

    data: Path
    output: Path
    image_width: int | None
    queries: int | None = None
    seed: int = 0
    device: str = 'auto'
    build: BuildConfig = BUILD_PRESETS['fast']


@dataclass(frozen=True)
class SceneSplit:
    """The images of a map and those that it is asked about.

    Attributes:
        scene: the dataset.
        train: its training images.
        test: all its test images.
        queries: those of them that are asked.
    """

    scene: Scene
    train: list[Frame]
    test: list[Frame]
    queries: list[Frame]

    @classmethod
    def open(cls, map_spec: MapSpec, config: ExperimentConfig) -> SceneSplit:
        """Read the dataset of a map.

        Raises:
            CaldiffError: if the scene or the split cannot be had.
        """
        scene, train, test = open_split(
            config.data,
            map_spec.scene,
            map_spec.split,
            variant=map_spec.variant,
            folder=config.output / 'scenes',
        )
        return cls(scene, train, test, choose_queries(test, config.queries))


@dataclass
class PreparedMap:
    """A map with the images it was made of and those that it is asked about."""

    map: LocalizationMap
    data: TrainingData
    split: SceneSplit

    @cached_property
    def digest(self) -> str:
        """To know the map again."""
        return weights_digest(self.map.field_module)[:16] + weights_digest(self.map.diffusion)[:16]

    @property
    def queries(self) -> list[Frame]:
        """The images that it is asked about."""
        return self.split.queries

    @property
    def facts(self) -> dict[str, Any]:
        """What a table says of the map."""
        photograph = self.split.train[0].camera
        stages = self.map.provenance.get('build_stage_seconds')

        return {
            'training_images': len(self.data.views),
            'test_images': len(self.split.test),
            'photograph_size': [photograph.width, photograph.height],
            'map_size': [self.map.camera.width, self.map.camera.height],
            'held_out_psnr_db': self.map.provenance.get('held_out_psnr_db'),
            'build_seconds': None if stages is None else sum(stages.values()),
        }


def prepare_map(
    map_spec: MapSpec,
    split: SceneSplit,
    config: ExperimentConfig,
    device: torch.device,
    report: Report,
) -> PreparedMap:
    """A map and its images; the map is built if there is none.

    Raises:
        CaldiffError: if the images cannot be used, or the map there is of other ones.
    """
    folder = config.output / 'maps' / map_spec.name
    if (folder / 'map.yaml').is_file():
        loaded = LocalizationMap.load(folder)
        data = _data(split, _factor(split.train, config, device, loaded))
    else:
        data = _data(split, _factor(split.train, config, device))
        work = folder.with_name(f'{folder.name}-training')
        work.mkdir(parents=True, exist_ok=True)
        context = BuildContext(seed=config.seed, device=device, work=work, report=report)
        built = build_map(data, config.build, context)
        built.provenance.update(split=map_spec.split, variant=map_spec.variant)
        built.save(folder)
        shutil.rmtree(work)
        loaded = LocalizationMap.load(folder)

    if loaded.camera != data.camera:
        raise CaldiffError(
            f'{folder} was made for images of {loaded.camera.width}x{loaded.camera.height} pixels, '
            f'expected {data.camera.width}x{data.camera.height}; delete it or give another --output'
        )

    return PreparedMap(loaded.to(device), data, split)


def _data(split: SceneSplit, factor: float) -> TrainingData:
    return TrainingData.load(split.scene, split.train, split.test, factor)


def _factor(
    train: Sequence[Frame],
    config: ExperimentConfig,
    device: torch.device,
    built: LocalizationMap | None = None,
) -> float:
    """By which the images of a map are reduced.

    Where the machine decides, a map that is there already has decided: it may be of another one.
    """
    if config.image_width is not None:
        return max(1.0, train[0].camera.width / config.image_width)
    if built is not None and 'downscale_factor' in built.provenance:
        return float(built.provenance['downscale_factor'])

    return working_resolution(train, config.build.field, device).factor
