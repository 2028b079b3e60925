# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure how well a map localizes images with known poses.

Writes OUTPUT/queries.json with every query and OUTPUT/summary.json, and prints the summary.
Errors are in normalized units: 1 is the longest edge of the box around the training cameras.
Without --split the queries are all test images of the dataset, or all images if it has no test set.

--trust also measures whether the statuses are reliable: how often wrong poses, images of other
places (--foreign) and blank or scrambled images are accepted. NEES is the normalized estimation
error squared; its mean is 6 if the covariances are correct.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from tyro.conf import FlagCreatePairsOff

from caldiff_ros.cli.common import DataPath, LocalizerArguments
from caldiff_ros.console import plain_console
from caldiff_ros.evaluation import (
    choose_queries,
    run_queries,
    summarize,
    summary_table,
    write_report,
)
from caldiff_ros.evaluation.progress import ProgressLine
from caldiff_ros.evaluation.trust import (
    answered_queries,
    foreign_statuses,
    made_up_images,
    trust_summary,
    trust_table,
    wrong_poses,
)
from caldiff_ros.geometry import Pose
from caldiff_ros.localization import LocalizationMap, Localizer
from caldiff_ros.scenes import Frame, Scene, open_scene, read_frame
from caldiff_ros.scenes.checking import check_capture

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Arguments(LocalizerArguments):
    """Arguments of ``caldiff evaluate``."""

    data: DataPath
    """Dataset with known poses, in any format that build-map reads."""

    split: str | None = None
    """Split whose test images are the queries, such as 50-25."""

    variant: int = 0
    """Variant of the split."""

    queries: int | None = None
    """Localize only this many images, evenly spaced."""

    trust: FlagCreatePairsOff[bool] = False
    """Also count how often wrong poses and images of other places are accepted."""

    foreign: tuple[Path, ...] = ()
    """Datasets of other places, whose images must not be localized."""

    foreign_images: int = 40
    """Number of images of each foreign dataset, evenly spaced."""

    output: Path = Path('outputs/evaluate')
    """Folder for queries.json and summary.json."""


def run(arguments: Arguments) -> int:
    """Evaluate and report."""
    loaded, localizer = arguments.load()
    scene = _read_as_for_map(loaded, open_scene(arguments.data))
    frames = scene.test_frames()
    if arguments.split is not None:
        _, frames = scene.split(arguments.split, arguments.variant)

    arguments.output.mkdir(parents=True, exist_ok=True)  # or fail now, not after the queries
    frames = [_in_map(loaded, frame) for frame in choose_queries(frames, arguments.queries)]
    note = loaded.view_note(frames[0].camera) if frames else ''
    if note:
        logger.warning('%s', note)
    with ProgressLine(len(frames), plain_console(stderr=True)) as line:
        queries = run_queries(localizer, frames, loaded.unit, loaded.background, on_query=line)

    summary = summarize(
        queries,
        method='caldiff',
        preset=arguments.preset,
        seed=arguments.seed,
        device=str(localizer.device),
        metres_per_unit=1.0 if loaded.metric or loaded.scale != 1 else None,
    )
    console = plain_console()
    console.print(summary_table(summary))

    if arguments.trust or arguments.foreign:
        statuses = answered_queries(queries) | _challenged(arguments, localizer, frames)
        summary['trust'] = trust_summary(statuses)
        console.print(trust_table(statuses))

    write_report(arguments.output, queries, summary)
    console.print(f'written to {arguments.output}', soft_wrap=True)
    return 0


def _challenged(
    arguments: Arguments, localizer: Localizer, frames: list[Frame]
) -> dict[str, Counter]:
    """Statuses of poses and images that must not be LOCALIZED."""
    localization_map = localizer.map
    seed = arguments.seed
    made_up = made_up_images(frames, localization_map.camera, localization_map.background, seed)
    foreign = {'blank or scrambled images': made_up}

    for path in arguments.foreign:
        chosen = choose_queries(open_scene(path).frames, arguments.foreign_images)
        images = [read_frame(frame, localization_map.background) for frame in chosen]
        foreign[f'images of {path.name}'] = images

    statuses = {}
    what = TextColumn('{task.description}', markup=False)  # which holds names of folders
    columns = (what, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=plain_console(stderr=True)) as progress:
        kind = 'wrong poses'
        n = len(frames)
        counts = progress.track(wrong_poses(localizer, frames, seed), n, description=kind)
        statuses[kind] = sum(counts, Counter())

        for kind, images in foreign.items():
            answers = foreign_statuses(localizer, images)
            statuses[kind] = Counter(progress.track(answers, len(images), description=kind))

    return statuses


def _read_as_for_map(loaded: LocalizationMap, scene: Scene) -> Scene:
    """The dataset; its poses read as its images say, if those of the map were read otherwise."""
    if loaded.provenance.get('poses_read_as', str(scene.convention)) == str(scene.convention):
        return scene

    read = check_capture(scene).scene
    if read.convention != scene.convention:
        logger.warning('the poses of %s are read as %s', scene.name, read.convention)
    return read


def _in_map(loaded: LocalizationMap, frame: Frame) -> Frame:
    """The frame with its pose in the map, which may be scaled and turned against the dataset."""
    T_norm_cam = loaded.normalization.to_norm(Pose.from_matrix(frame.T_map_cam[None]))
    return replace(frame, T_map_cam=loaded.to_map(T_norm_cam)[0])
