# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figures 3 to 5 of the paper on the scenes at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from caldiff_ros.evaluation.experiment import Experiment
from caldiff_ros.evaluation.files import write_json
from caldiff_ros.evaluation.method_results import MapSpec, MethodResults
from caldiff_ros.evaluation.prepared_maps import PreparedMap
from caldiff_ros.geometry.frustum import frustum_edges
from caldiff_ros.localization import Localizer, Particles
from caldiff_ros.localization.presets import configuration
from caldiff_ros.nerf.surface import surface_points
from caldiff_ros.scenes import read_frame

_MAX_IMAGES, _SCENE_POINTS = 6, 3000
_FRAMES_PER_SECOND = 5
_TRUE_COLOR, _PARTICLE_COLOR = (0.0, 0.6, 0.2), (0.1, 0.35, 0.9)

#: What figure 5 changes: values of the particles P and of the diffusion steps N.
SWEEPS = {'particles': (10, 25, 50, 100, 200), 'diffusion_steps': (5, 10, 25, 50)}


def make_figure(
    name: str, experiment: Experiment, settings: Sequence[MapSpec], preset: str, folder: Path
) -> list[Path]:
    """Make 'figure3', 'figure4' or 'figure5'.

    Args:
        name: which.
        experiment: has or builds the maps.
        settings: maps; figure 4 takes the first, figure 5 the number T of training images from them
            and changes P and N on the first.
        preset: how to localize.
        folder: for the files.

    Returns:
        The files written.
    """
    picture = folder / f'{name}.png'
    folder.mkdir(parents=True, exist_ok=True)

    if name == 'figure3':
        save_renders(picture, experiment, settings, preset)
        return [picture]

    if name == 'figure4':
        moving = folder / f'{name}.gif'
        save_particles(
            picture,
            moving,
            experiment.prepared_map(settings[0]),
            preset=preset,
            seed=experiment.config.seed,
        )
        return [picture, moving]

    sweeps = {
        words: {v: [experiment.cell(settings[0], f'{preset}:{key}={v}')] for v in SWEEPS[key]}
        for words, key in (('particles P', 'particles'), ('steps N', 'diffusion_steps'))
    }
    by_size = sorted(settings, key=lambda map_spec: int(map_spec.split.split('-')[0]))
    sweeps['training images T'] = {
        int(map_spec.split.split('-')[0]): [experiment.cell(map_spec, preset)]
        for map_spec in by_size
    }
    save_behaviour(picture, sweeps, f'{settings[0].name}, preset {preset}')
    numbers = folder / f'{name}.json'
    write_json(numbers, behaviour(sweeps))

    return [picture, numbers]


def save_renders(
    path: Path, experiment: Experiment, settings: Sequence[MapSpec], method: str
) -> None:
    """Figure 3: renders at the estimates over the queries that they were estimated from."""
    columns = []
    for map_spec in settings:
        cell = experiment.cell(map_spec, method)
        prepared_map = experiment.prepared_map(map_spec)
        share = max(1, _MAX_IMAGES // len(settings))

        for frame in prepared_map.queries[:: max(1, len(prepared_map.queries) // share)][:share]:
            image, _ = prepared_map.map.view(*read_frame(frame, prepared_map.map.background))
            columns.append((cell.queries[frame.name], image, prepared_map.map))

    figure = Figure(figsize=(2.2 * len(columns), 5), dpi=110, layout='constrained')
    axes = figure.subplots(2, len(columns), squeeze=False)

    for (render_axes, image_axes), (query, image, localization_map) in zip(
        axes.T, columns, strict=True
    ):
        pose = query.T_map_cam
        render = np.zeros_like(image) if pose is None else localization_map.render(pose)
        render_axes.imshow(render)
        image_axes.imshow(image)
        render_axes.set_title(
            f'{localization_map.name} {query.name}\n{query.translation_norm:.4f}, '
            f'{query.rotation_deg:.2f}°',
            fontsize=8,
        )

    for one in axes.flat:
        one.set(xticks=[], yticks=[])

    axes[0, 0].set_ylabel('render at the estimate')
    axes[1, 0].set_ylabel('query')
    figure.savefig(path)


def save_particles(
    path: Path, animation_path: Path, prepared_map: PreparedMap, preset: str, seed: int
) -> None:
    """Figure 4: particles of the reverse diffusion around the true camera, t = N to 0."""
    steps = _diffusion(prepared_map, preset, seed)
    config = configuration(preset)
    times = [round(config.schedule.steps * (1 - i / (len(steps) - 1))) for i in range(len(steps))]
    truth = prepared_map.queries[0].T_map_cam
    scene = _scene_points(prepared_map)
    picked = np.linspace(0, len(steps) - 1, 6).round().astype(int)
    figure = Figure(figsize=(15, 9.5), dpi=90, layout='constrained')

    for number, i in enumerate(picked):
        axes = figure.add_subplot(2, 3, number + 1, projection='3d')
        _draw(axes, prepared_map, steps[i], truth, scene, f't = {times[i]}')

    figure.savefig(path)
    moving = Figure(figsize=(6, 6), dpi=80, layout='constrained')
    FigureCanvasAgg(moving)
    axes = moving.add_subplot(projection='3d')

    def draw(i: int) -> tuple:
        axes.clear()
        _draw(axes, prepared_map, steps[i], truth, scene, f't = {times[i]}')
        return ()

    frames = [*range(len(steps)), *[len(steps) - 1] * _FRAMES_PER_SECOND]
    FuncAnimation(moving, draw, frames).save(animation_path, PillowWriter(_FRAMES_PER_SECOND))


def save_behaviour(
    path: Path, sweeps: dict[str, dict[int, list[MethodResults]]], title: str
) -> None:
    """Figure 5: median errors and seconds per query against each number.

    Args:
        path: picture to write.
        sweeps: cells by the number that was changed, in words, and its value.
        title: what was changed.
    """
    figure = Figure(figsize=(4.5 * len(sweeps), 7), dpi=110, layout='constrained')
    rows = figure.subplots(2, len(sweeps), squeeze=False)

    for (error_axes, time_axes), (name, cells) in zip(rows.T, sweeps.items(), strict=True):
        points = behaviour({name: cells})[name]
        values = [point['value'] for point in points]
        error_axes.plot(values, [p['median_translation_norm'] for p in points], 'o-')
        error_axes.set(ylabel='median translation (normalized)', yscale='log')
        degrees = error_axes.twinx()
        degrees.plot(values, [p['median_rotation_deg'] for p in points], 's--', color='tab:red')
        degrees.set_yscale('log')
        degrees.set_ylabel('median rotation (°)', color='tab:red')
        time_axes.plot(values, [p['median_seconds'] for p in points], 'o-', color='0.3')
        time_axes.set(xlabel=name, ylabel='median seconds per query', ylim=(0, None))

    figure.suptitle(title)
    figure.savefig(path)


def behaviour(sweeps: dict[str, dict[int, list[MethodResults]]]) -> dict[str, list[dict[str, Any]]]:
    """The numbers behind figure 5, see `save_behaviour`."""
    return {name: [_point(v, cells) for v, cells in by.items()] for name, by in sweeps.items()}


def _point(value: int, cells: list[MethodResults]) -> dict[str, Any]:
    queries = [query for cell in cells for query in cell.queries.values()]
    return {
        'value': value,
        'n_queries': len(queries),
        'median_translation_norm': float(np.median([q.translation_norm for q in queries])),
        'median_rotation_deg': float(np.median([q.rotation_deg for q in queries])),
        'median_seconds': float(np.median([q.seconds for q in queries])),
    }


def _diffusion(prepared_map: PreparedMap, preset: str, seed: int) -> list[np.ndarray]:
    """Particles (P, 4, 4) at the start and after every step of the diffusion."""
    steps: list[np.ndarray] = []

    def keep(particles: Particles) -> None:
        if particles.stage in ('initialization', 'diffusion'):
            steps.append(particles.T_map_cam)

    image, camera = read_frame(prepared_map.queries[0], prepared_map.map.background)
    Localizer(prepared_map.map, preset, str(prepared_map.map.field.aabb.device), seed).localize(
        image, camera, observer=keep
    )
    return steps


def _scene_points(prepared_map: PreparedMap) -> tuple[np.ndarray, np.ndarray]:
    """Points of the scene (N, 3) in the map, and their colours (N, 3) in 0..1."""
    points_norm, rgb = surface_points(
        prepared_map.map.field,
        prepared_map.map.training_cameras,
        prepared_map.map.camera,
        _SCENE_POINTS,
    )
    normalization = prepared_map.map.normalization
    return np.asarray(normalization.center) + normalization.side * points_norm, rgb / 255


def _draw(
    axes: Axes3D,
    prepared_map: PreparedMap,
    T_map_cam: np.ndarray,
    truth: np.ndarray,
    scene: tuple[np.ndarray, np.ndarray],
    title: str,
) -> None:
    side = prepared_map.map.unit
    camera = prepared_map.map.camera
    center = np.asarray(prepared_map.map.normalization.center)
    axes.computed_zorder = False
    axes.scatter(*scene[0].T, c=scene[1], s=1.5, depthshade=False)

    for poses, color, width, size in (
        (T_map_cam, (*_PARTICLE_COLOR, 0.45), 0.8, 0.04),
        (truth[None], _TRUE_COLOR, 2.8, 0.09),
    ):
        lines = frustum_edges(poses, camera, size * side).reshape(-1, 2, 3)
        axes.add_collection3d(Line3DCollection(lines, colors=[color], linewidths=width))

    bounds = [(middle - 0.55 * side, middle + 0.55 * side) for middle in center]
    axes.set(xlim=bounds[0], ylim=bounds[1], zlim=bounds[2])
    axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
    axes.set_title(title)
