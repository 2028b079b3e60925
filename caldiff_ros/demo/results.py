# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses that the node published, against the true ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseStamped
from rich.table import Table
from rich.text import Text

from caldiff_ros.demo.data import DemoImage
from caldiff_ros.evaluation.metrics import pose_errors
from caldiff_ros.localization.correctness import RIGHT
from caldiff_ros.ros.conversions.poses import pose_from_msg

#: Every pose must be right, and this part of them within these bounds (normalized units, degrees).
PRECISE = (0.01, 2.0)
PRECISE_PART = 0.8


@dataclass(frozen=True, kw_only=True)
class Result:
    """One image: true and published pose (4, 4), errors (infinite without a pose) and time."""

    name: str
    T_true: np.ndarray
    T_estimate: np.ndarray | None
    translation_norm: float
    rotation_deg: float
    seconds: float

    def within(self, bounds: tuple[float, float]) -> bool:
        """Whether both errors are at most these bounds, in normalized units and degrees."""
        return self.translation_norm <= bounds[0] and self.rotation_deg <= bounds[1]


def compare(image: DemoImage, pose: PoseStamped | None, unit: float, seconds: float) -> Result:
    """Errors of a published pose; ``unit`` is one normalized unit in map units."""
    T = None if pose is None else pose_from_msg(pose.pose)
    distance, angle_deg = pose_errors(image.T_map_cam, T)

    return Result(
        name=image.path.name,
        T_true=image.T_map_cam,
        T_estimate=T,
        translation_norm=distance / unit,
        rotation_deg=angle_deg,
        seconds=seconds,
    )


def verdict(results: list[Result]) -> tuple[bool, str]:
    """Whether the demo succeeded, and a sentence about it."""
    right = sum(result.within(RIGHT) for result in results)
    precise = sum(result.within(PRECISE) for result in results)
    passed = right == len(results) and precise >= PRECISE_PART * len(results)
    sentence = (
        f'{right} of {len(results)} images within {RIGHT[0]} and {RIGHT[1]:g} deg (all '
        f'must be), {precise} within {PRECISE[0]} and {PRECISE[1]:g} deg ({PRECISE_PART:.0%} must)'
    )

    return passed, sentence


def results_table(results: list[Result]) -> Table:
    """Estimate, truth, errors and seconds of each image; positions in map units."""
    table = Table(
        'image', 'estimate x y z', 'truth x y z', 'error (norm)', 'error (deg)', 'seconds'
    )
    for result in results:
        color = 'green' if result.within(PRECISE) else 'red'
        color = 'yellow' if color == 'red' and result.within(RIGHT) else color
        estimate = result.T_estimate
        table.add_row(
            result.name,
            'not localized' if estimate is None else _position(estimate),
            _position(result.T_true),
            Text(f'{result.translation_norm:.4f}', style=color),
            Text(f'{result.rotation_deg:.2f}', style=color),
            f'{result.seconds:.1f}',
        )

    return table


def _position(T: np.ndarray) -> str:
    return ' '.join(f'{value:7.3f}' for value in T[:3, 3])


def save_results(results: list[Result], right: bool, path: Path) -> None:
    """Write the results as JSON; errors are null where there is no pose."""
    images = [
        {
            'image': result.name,
            'T_map_cam': None if result.T_estimate is None else result.T_estimate.tolist(),
            'T_map_cam_true': result.T_true.tolist(),
            'translation_norm': None if result.T_estimate is None else result.translation_norm,
            'rotation_deg': None if result.T_estimate is None else result.rotation_deg,
            'seconds': result.seconds,
        }
        for result in results
    ]
    path.write_text(json.dumps({'right': right, 'images': images}, indent=2))
