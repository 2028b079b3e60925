# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draw docs/images/frames.png: the cameras of a dataset in the three frames they pass through.

usage: draw_frames.py RUN/config.yml OUTPUT.png, where RUN was trained by ns-train
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
from mpl_toolkits.mplot3d import Axes3D

from caldiff_ros.geometry import optical_to_opengl
from caldiff_ros.mapping.nerfstudio_run import NerfstudioRun
from caldiff_ros.scenes import open_scene

#: Metres per unit and turn of the example on the right.
_SCALE = 2.0
_YAW_DEG = 40.0
_AXES = (('x', 'tab:red'), ('y', 'tab:green'), ('z', 'tab:blue'))
#: Corners of an image plane at depth 1, camera coordinates, closed.
_RIM = np.array([[-0.4, -0.3, 1], [0.4, -0.3, 1], [0.4, 0.3, 1], [-0.4, 0.3, 1], [-0.4, -0.3, 1]])


def triad(axes: Axes3D, T: np.ndarray, length: float, labels: bool) -> None:
    """Axes of a frame: x red, y green, z blue."""
    for i, (name, color) in enumerate(_AXES):
        tip = T[:3, 3] + length * T[:3, i]
        axes.plot(*np.stack([T[:3, 3], tip], axis=1), color=color, linewidth=2)
        if labels:
            axes.text(*(T[:3, 3] + 1.2 * length * T[:3, i]), name, color=color)


def panel(axes: Axes3D, T_cam: np.ndarray, opengl: bool, title: str, unit: str) -> None:
    """Optical cameras (N, 4, 4) in one frame, one of them with the axes of its convention."""
    size = 0.12 * np.ptp(T_cam[:, :3, 3], axis=0).max()
    for T in T_cam[::4]:
        rim = size * _RIM @ T[:3, :3].T + T[:3, 3]
        axes.plot(*rim.T, color='0.45', linewidth=0.7)
        for corner in rim[:4]:
            axes.plot(*np.stack([T[:3, 3], corner], axis=1), color='0.75', linewidth=0.5)
    shown = optical_to_opengl(T_cam[:1])[0] if opengl else T_cam[0]
    triad(axes, shown, 2.2 * size, labels=False)
    triad(axes, np.eye(4), 3 * size, labels=True)
    axes.set_title(title, fontsize=12, y=1.0)
    axes.locator_params(nbins=4)
    axes.set_xlabel(unit)
    axes.tick_params(labelsize=8, pad=0)
    axes.set_aspect('equal')


def main(config: str, output: str) -> None:
    """Draw the figure."""
    run = NerfstudioRun.load(config)
    T_data = np.stack([frame.T_map_cam for frame in open_scene(run.data).frames])
    T_nerf = run.nerf_from_map @ T_data
    T_nerf[:, :3, :3] /= np.cbrt(np.linalg.det(run.nerf_from_map[:3, :3]))
    yaw = np.radians(_YAW_DEG)
    T_map_scene = np.eye(4)
    T_map_scene[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T_map_scene[:3, 3] = [1.5, 0.8, 0.6]
    T_map = T_data.copy()
    T_map[:, :3, 3] *= _SCALE
    T_map = T_map_scene @ T_map
    figure = plt.figure(figsize=(14, 4.9), layout='constrained')
    figure.get_layout_engine().set(w_pad=0.3)
    grid = {'projection': '3d'}
    panels = [figure.add_subplot(1, 3, i + 1, **grid) for i in range(3)]
    inside = 'inside nerfstudio: turned upright, centred, in ±1\nnobody outside sees this frame'
    given = 'your dataset: the frame of transforms.json\ncameras x right, y up, z back (OpenGL)'
    wanted = 'the map: what the node publishes\ncameras x right, y down, z forward (optical)'
    panel(panels[0], T_nerf, True, inside, 'no unit')
    panel(panels[1], T_data, True, given, 'unit of the poses')
    panel(panels[2], T_map, False, wanted, 'metres')
    for x, label in (
        (0.345, '⟵  dataparser_transforms.json  ⟶\nread by caldiff build-map --nerf'),
        (0.675, f'scale = {_SCALE} m per unit, then T_map_scene  ⟶\nbuild-map --scale, map.yaml'),
    ):
        figure.text(x, 0.04, label, ha='center', fontsize=11)
    figure.savefig(output, dpi=80)


if __name__ == '__main__':
    main(*sys.argv[1:])
