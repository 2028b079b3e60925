# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Build a map from a COLMAP folder, then localize an image in it.

``caldiff build-map`` does more: it checks the dataset first and chooses the resolution. Any other
dataset that it reads can be given in place of the COLMAP folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from caldiff_ros import (
    BuildConfig,
    BuildContext,
    CaldiffError,
    LocalizationMap,
    Localizer,
    TrainingData,
    build_map,
    open_scene,
    read_image,
)


def show_progress(stage: str, step: int, n_steps: int, numbers: dict[str, float]) -> None:
    """One line, written over and over."""
    print(f'\r{stage}: {step} of {n_steps}\033[K', end='', file=sys.stderr, flush=True)


def build(data: Path, output: Path, downscale_factor: float) -> LocalizationMap:
    """Build the map and save it."""
    scene = open_scene(data)
    train, test = scene.split(None)  # all images, where the dataset names no test images
    ready = TrainingData.load(scene, train, test, downscale_factor)

    # a build that is stopped resumes from the checkpoints in its work folder
    work = output.with_name(f'{output.name}-training')
    context = BuildContext(seed=0, work=work, report=show_progress)
    built = build_map(ready, BuildConfig(), context)
    built.save(output)

    return built


def main() -> int:
    """Build, localize, print the pose."""
    parser = argparse.ArgumentParser(description='Build a map from COLMAP, localize an image.')
    parser.add_argument('data', type=Path, help='folder with sparse/0 and images')
    parser.add_argument('image', type=Path, help='an image of the same camera')
    parser.add_argument('--output', type=Path, default=Path('colmap_map'), help='the map')
    parser.add_argument('--downscale-factor', type=float, default=4.0, help='of the images')
    arguments = parser.parse_args()

    try:
        localizer = Localizer(build(arguments.data, arguments.output, arguments.downscale_factor))
        image = read_image(arguments.image)
        height, width = image.shape[:2]
        answer = localizer.localize(image, localizer.map.camera.resized(width, height))
    except CaldiffError as error:
        print(f'map_from_colmap: {error}', file=sys.stderr)
        return 2

    print(f'\n{answer.message}\n{answer.T_map_cam}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
