# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figure of the particles converging, after figure 4 of the paper."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use('Agg')  # the demo runs without a display

import matplotlib.pyplot as plt
import numpy as np
from mpl_toolkits.mplot3d.art3d import Line3DCollection
from visualization_msgs.msg import Marker

from caldiff_ros.demo.client import marker_lines
from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.frustum import frustum_edges

#: Panels per stage; a stage with more refreshes is sampled evenly and ends with its last.
PANELS = {'initialization': 1, 'diffusion': 3, 'selection': 1, 'refinement': 1, 'answer': 1}
#: Stages with few particles, drawn enlarged around the true camera.
ENLARGED = ('selection', 'refinement', 'answer')
COLUMNS = 4
TRUE_COLOR = (0.0, 0.55, 0.25)


def choose_panels(markers: list[Marker]) -> list[Marker]:
    """The refreshes to draw, in order."""
    chosen = []
    for stage, n_panels in PANELS.items():
        of_stage = [marker for marker in markers if marker.ns == stage]
        picks = np.linspace(0, len(of_stage), n_panels + 1)[1:].astype(int) - 1
        chosen += [of_stage[i] for i in sorted(set(picks.tolist())) if i >= 0]

    return chosen


def save_convergence(
    markers: list[Marker], T_map_cam: np.ndarray, camera: Camera, path: Path
) -> None:
    """Draw the particles of each stage with the true camera in green.

    Args:
        markers: LINE_LISTs of frustums in the order of their publication, stage as namespace.
        T_map_cam: true pose, (4, 4).
        camera: gives the shape of the true frustum.
        path: picture to write.
    """
    panels = choose_panels(markers)
    drawn = [marker_lines(marker) for marker in panels]

    points = np.concatenate([lines.reshape(-1, 3) for lines, _ in drawn])
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = 0.5 * float(np.ptp(points, axis=0).max())

    rows = -(-len(panels) // COLUMNS)
    figure = plt.figure(figsize=(3 * COLUMNS, 3 * rows + 0.5), layout='constrained')
    for i, (marker, (lines, colors)) in enumerate(zip(panels, drawn, strict=True)):
        middle = center
        half = reach
        true_depth = 0.2 * reach
        if marker.ns in ENLARGED:
            middle = T_map_cam[:3, 3]
            half = min(reach, 1.2 * float(np.abs(lines - middle).max()))
            true_depth = _depth(lines, camera)  # the same size, to lie under a right answer

        true_lines = frustum_edges(T_map_cam[None], camera, true_depth).reshape(-1, 2, 3)
        axes = figure.add_subplot(rows, COLUMNS, i + 1, projection='3d', computed_zorder=False)
        axes.add_collection3d(Line3DCollection(true_lines, colors=[TRUE_COLOR], linewidths=2.5))
        axes.add_collection3d(Line3DCollection(lines, colors=colors, linewidths=0.7))
        axes.set(
            **{f'{xyz}lim': (m - half, m + half) for xyz, m in zip('xyz', middle, strict=True)}
        )
        axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
        axes.set_title(f'{marker.ns}, {reach / half:.0f} x' if half < reach else marker.ns)

    figure.suptitle('particles by photometric error (green low, red high); true camera thick green')
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _depth(lines: np.ndarray, camera: Camera) -> float:
    """Depth of frustums that were drawn, from the length of their first edge."""
    unit = frustum_edges(np.eye(4)[None], camera, 1.0)[0]
    return float(np.linalg.norm(lines[0, 1] - lines[0, 0]) / np.linalg.norm(unit[1] - unit[0]))
