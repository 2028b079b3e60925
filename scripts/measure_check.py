# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Errors that `caldiff check` finds in altered datasets: the table of docs/own-scene.md.

    python scripts/measure_check.py DATA [DATA ...]

Prints one line per dataset and change. Every line is one or more checks, of seconds each.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from caldiff_ros.geometry import Camera
from caldiff_ros.scenes import Frame, Scene, open_scene, read_image
from caldiff_ros.scenes.checking import CaptureReport, check_capture
from caldiff_ros.scenes.conventions import CONVENTIONS

#: As many frames as the check looks at.
_MOST_FRAMES = 200
#: Frames that are mirrored, one at a time.
_MIRRORED = 12


def main() -> None:
    """Measure the datasets that are given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data', nargs='+', type=Path, metavar='DATA')
    for path in parser.parse_args().data:
        scene = _spread(open_scene(path))
        for change, found in _measured(scene):
            print(f'{scene.name}: {change}: {found}', flush=True)


def _measured(scene: Scene) -> Iterator[tuple[str, str]]:
    """What is done to a dataset, and what is found of it."""
    untouched = check_capture(scene)
    yield 'nothing', ', '.join(row.text for row in untouched.findings) or 'nothing found'

    yield 'poses in another convention', _conventions(scene)
    for factor in (1.15, 0.85):
        changed = _with_cameras(scene, lambda c, by=factor: replace(c, fx=by * c.fx, fy=by * c.fy))
        yield f'focal length times {factor}', _factor(check_capture(changed))
    # a reader brings intrinsics to the size of the file
    halved = _with_cameras(
        scene, lambda c: replace(c, fx=c.fx / 2, fy=c.fy / 2, cx=c.cx / 2, cy=c.cy / 2)
    )
    yield 'w and h doubled', _factor(check_capture(halved))
    yield 'poses of a tenth exchanged', _exchanged(scene)
    yield 'one frame mirrored', _mirrored(scene)


def _spread(scene: Scene) -> Scene:
    n = min(len(scene.frames), _MOST_FRAMES)
    chosen = np.linspace(0, len(scene.frames) - 1, n).round().astype(int)
    return replace(scene, frames=[scene.frames[i] for i in chosen])


def _with_cameras(scene: Scene, change: Callable[[Camera], Camera]) -> Scene:
    frames = [replace(frame, camera=change(frame.camera)) for frame in scene.frames]
    return replace(scene, frames=frames)


def _conventions(scene: Scene) -> str:
    """How many of the other conventions are reported correctly."""
    others = [each for each in CONVENTIONS if each != scene.convention]
    right = 0
    for convention in others:
        frames = [
            replace(frame, T_map_cam=scene.convention.read(convention.write(frame.T_map_cam)))
            for frame in scene.frames
        ]
        report = check_capture(replace(scene, frames=frames))
        right += report.scene.convention == convention and not report.findings

    return f'{right} of {len(others)} correct'


def _factor(report: CaptureReport) -> str:
    """By what the intrinsics are to be multiplied."""
    found = re.search(r'(?:by|of) (\d+\.\d+|\d+ %)', _text(report, 'intrinsics'))
    return f'reported {found[1]}' if found else 'not reported'


def _exchanged(scene: Scene) -> str:
    """How many of the frames with exchanged poses are counted."""
    rng = np.random.default_rng(0)
    n = len(scene.frames) // 10
    chosen = rng.choice(len(scene.frames), n, replace=False)
    frames = list(scene.frames)
    for here, there in zip(chosen, np.roll(chosen, 1), strict=True):
        frames[here] = replace(frames[here], T_map_cam=scene.frames[there].T_map_cam)

    found = re.match(r'\d+', _text(check_capture(replace(scene, frames=frames)), 'wrong poses'))
    return f'{found[0] if found else 0} of {n} counted'


def _mirrored(scene: Scene) -> str:
    """How often the frame whose image is mirrored is named."""
    named = 0
    chosen = np.linspace(0, len(scene.frames) - 1, _MIRRORED).round().astype(int)
    with tempfile.TemporaryDirectory() as folder:
        for number in chosen:
            frames = list(scene.frames)
            frames[number] = _flipped(frames[number], Path(folder) / f'{number}.png')
            text = _text(check_capture(replace(scene, frames=frames)), 'mirrored frames')
            named += frames[number].name in text

    return f'named {named} times of {len(chosen)}'


def _flipped(frame: Frame, path: Path) -> Frame:
    """The frame with its image mirrored in a file of its own."""
    image = read_image(frame.image_path, upright=frame.upright)
    cv2.imwrite(str(path), image[:, ::-1, ::-1])
    return replace(frame, image_path=path, upright=False)


def _text(report: CaptureReport, check: str) -> str:
    """What one check found; nothing if it found nothing."""
    return ''.join(row.text for row in report.findings if row.check == check)


if __name__ == '__main__':
    main()
