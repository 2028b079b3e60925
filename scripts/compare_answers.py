# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a change leaves the answers of the shipped map alone, digit by digit.

``python scripts/compare_answers.py write before.json`` localizes the demo's images with every
preset; after the change, ``python scripts/compare_answers.py compare before.json`` does it again
and names each answer that differs. Only runs of the same machine and PyTorch can be compared.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from caldiff_ros.geometry import Camera
from caldiff_ros.localization import LocalizationMap, Localizer
from caldiff_ros.scenes.images import read_image

ROOT = Path(__file__).resolve().parents[1]
#: Images of the demo that are localized, by preset: the paper's takes half a minute each.
IMAGES = {'fast': 20, 'accurate': 20, 'paper': 3}


def answers() -> dict[str, list[str]]:
    """Pose, covariance, error and confidence of every answer, as hexadecimal numbers."""
    torch.set_num_threads(1)
    camera = Camera(**json.loads((ROOT / 'demo/camera.json').read_text()))
    images = sorted((ROOT / 'demo').glob('images/*'))
    place = LocalizationMap.load(ROOT / 'maps/diorama_room')
    found = {}

    for preset, count in IMAGES.items():
        localizer = Localizer(place, preset=preset, device='cpu', seed=0)

        for path in images[:count]:
            answer = localizer.localize(read_image(path), camera)
            values = [answer.T_map_cam, answer.covariance]
            numbers = np.concatenate([value.ravel() for value in values]).tolist()
            numbers += [answer.photometric_error, answer.confidence]
            found[f'{preset} {path.name}'] = [float(number).hex() for number in numbers]
            print(preset, path.name, answer.status.name, flush=True)

    return found


def main(action: str, file: Path) -> int:
    """Write the answers to a file, or compare them with those in it."""
    found = answers()
    if action == 'write':
        file.write_text(json.dumps(found))
        return 0

    before = json.loads(file.read_text())
    differing = [name for name in before if before[name] != found[name]]
    print(f'{len(before) - len(differing)} of {len(before)} answers are equal digit by digit')
    for name in differing:
        print(f'differs: {name}')

    return 1 if differing else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
