# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make the demo folder from the frames that a split holds out from the map's training."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes import open_scene
from caldiff_ros.scenes.scene import Frame
from caldiff_ros.wording import counted


@dataclass(frozen=True)
class HoldoutOptions:
    """Write the test frames of a split as the folder that `demo_data.read_demo` reads."""

    data: Annotated[Path, tyro.conf.Positional]
    """Dataset with one camera without distortion."""
    split: str = '60-20'
    """Split whose training frames the map was made from."""
    variant: int = 0
    """Variant of the split."""
    output: Path = Path('demo')
    """Folder to write; an older one is replaced."""


def write_demo(frames: list[Frame], folder: Path) -> None:
    """Write images, true poses and camera; what was in ``folder`` before is deleted.

    Raises:
        CaldiffError: if the frames do not share one camera without distortion.
    """
    camera = frames[0].camera
    if not camera.is_pinhole or any(frame.camera != camera for frame in frames):
        raise CaldiffError(
            'the held-out frames have several cameras or a distorted one, expected one camera '
            'without distortion; choose another dataset for the demo'
        )

    shutil.rmtree(folder, ignore_errors=True)
    (folder / 'images').mkdir(parents=True)
    poses = []
    for frame in frames:
        image = Path('images') / frame.image_path.name
        shutil.copyfile(frame.image_path, folder / image)
        poses.append({'image': str(image), 'T_map_cam': frame.T_map_cam.tolist()})

    (folder / 'poses.json').write_text(json.dumps(poses, indent=1) + '\n')
    intrinsics = {
        name: getattr(camera, name) for name in ('width', 'height', 'fx', 'fy', 'cx', 'cy')
    }
    (folder / 'camera.json').write_text(json.dumps(intrinsics, indent=1) + '\n')


def main() -> int:
    """Exit status 0 if the folder was written."""
    options = tyro.cli(HoldoutOptions)
    try:
        _, frames = open_scene(options.data).split(options.split, options.variant)
        write_demo(frames, options.output)
    except CaldiffError as error:
        print(f'demo_holdout: {error}', file=sys.stderr)
        return 2

    print(f'{counted(len(frames), "held-out image")} written to {options.output}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
