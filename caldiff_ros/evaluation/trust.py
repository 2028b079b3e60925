# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether what a localizer says of its answers can be relied on.

Right answers should be LOCALIZED, and nothing else should: neither wrong poses, however well they
have been fitted, nor images that were not taken in the map.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from caldiff_ros.diffusion.vectors import poses_of
from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.metrics import is_right
from caldiff_ros.evaluation.protocol import QueryResult
from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization import Localizer, Status
from caldiff_ros.localization.confidence import Evidence
from caldiff_ros.localization.correctness import is_wrong
from caldiff_ros.localization.particles import uniform_particles
from caldiff_ros.localization.query import Query
from caldiff_ros.mapping.calibration import refine_wrong, scrambled
from caldiff_ros.mapping.rendered_views import RenderedViewsConfig, poses_around
from caldiff_ros.scenes import Frame, read_frame

#: Wrong poses that the most deceptive ones are chosen from, per image and kind.
_RANDOM_POSES = 60

Statuses = dict[str, Counter]


def answered_queries(queries: Sequence[QueryResult]) -> Statuses:
    """Statuses of the answers to queries, right and wrong apart."""
    statuses: Statuses = {'right answers': Counter(), 'wrong answers': Counter()}
    for query in queries:
        if np.isfinite(query.translation_norm):
            right = is_right(query.translation_norm, query.rotation_deg)
            statuses['right answers' if right else 'wrong answers'][query.status] += 1

    return statuses


def wrong_poses(localizer: Localizer, frames: Sequence[Frame], seed: int) -> Iterator[Counter]:
    """Statuses that wrong poses would get as answers, frame by frame.

    Poses at random, and around the training cameras, are aligned with the image as the localizer
    does it; those that are still wrong then deceive best.

    Args:
        localizer: what is judged.
        frames: with poses in the map.
        seed: of the poses.
    """
    localization_map = localizer.map
    config = localizer.config
    generator = torch.Generator().manual_seed(seed)

    for frame in frames:
        view = localization_map.view(*read_frame(frame, localization_map.background))
        query = Query(
            *view,
            localization_map.camera,
            localizer.device,
            config.affine_exposure,
            config.robust_scale,
        )
        truth = localization_map.to_norm(frame.T_map_cam[None])[0]
        around = poses_around(
            localization_map.training_cameras, _RANDOM_POSES, RenderedViewsConfig(), generator
        )
        random = poses_of(uniform_particles(_RANDOM_POSES, generator))
        counts: Counter = Counter()

        for poses in (around, random):
            poses = poses.to(localizer.device)
            deceived = refine_wrong(localization_map.field, query, poses[is_wrong(poses, truth)])
            deceived = deceived[is_wrong(deceived, truth)]
            counts += _statuses(localizer, query, deceived)

        yield counts


def _statuses(localizer: Localizer, query: Query, poses: Pose) -> Counter:
    """What the poses (P,), each by itself, would be called."""
    if not len(poses):
        return Counter()

    rendering = localizer.map.field.render(poses, query.camera)
    evidence = Evidence.of(rendering, query)
    names = (Status.NOT_LOCALIZED.name, Status.LOCALIZED.name)

    return Counter(
        names[confidence >= localizer.config.min_confidence]
        for confidence in localizer.map.calibration.confidences(evidence)
    )


def foreign_statuses(
    localizer: Localizer, images: Sequence[tuple[np.ndarray, Camera]]
) -> Iterator[str]:
    """Statuses of images that were not taken in the map."""
    for image, camera in images:
        try:
            yield localizer.localize(image, camera).status.name
        except CaldiffError:  # refused: black, blurred
            yield Status.FAILED.name


def made_up_images(
    frames: Sequence[Frame], camera: Camera, background: str, seed: int
) -> list[tuple[np.ndarray, Camera]]:
    """Images of nothing at all: black, white, grey, noise fine and coarse, and scrambled frames."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    size = (camera.width, camera.height)
    made: list[np.ndarray] = [
        np.full((size[1], size[0], 3), value, np.uint8) for value in (0, 255, 128)
    ]

    for cells in (4, 8, 16, 32, 64, size[0]):
        noise = rng.integers(0, 256, (max(2, cells * size[1] // size[0]), cells, 3), np.uint8)
        made.append(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC))

    images = [(image, camera) for image in made]
    for frame in frames:
        image, own = read_frame(frame, background)
        images.append((scrambled(image, generator), own))

    return images


def trust_summary(statuses: Statuses) -> dict:
    """The content of ``trust`` in ``summary.json``: counts, and shares that were LOCALIZED."""
    accepted = {
        kind: 100 * counts[Status.LOCALIZED.name] / counts.total() if counts.total() else None
        for kind, counts in statuses.items()
    }
    return {
        'counts': {kind: dict(counts) for kind, counts in statuses.items()},
        'localized_percent': accepted,
    }


def trust_table(statuses: Statuses) -> Table:
    """Counts of each status for a terminal."""
    names = [status.name for status in Status]
    title = 'trust: statuses, and the share that was LOCALIZED'
    table = Table('', 'n', *names, '%', title=title, title_justify='left', box=SIMPLE_HEAD)

    for kind, counts in statuses.items():
        total = counts.total()
        share = f'{100 * counts[Status.LOCALIZED.name] / total:.1f}' if total else '-'
        table.add_row(kind, str(total), *(str(counts[name]) for name in names), share)

    return table
