# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Try a wheel as a newcomer would: in an empty environment, on the map and an image that it brings.

Run as ``python scripts/check_wheel.py dist/*.whl``. The exit status is 0 if the pose is right.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

IMAGE = 'images/10.png'
#: Map units and degrees; the cameras of the map lie within two units.
LARGEST_ERROR = (0.01, 0.5)


def installed(wheel: Path, environment: Path) -> Path:
    """Install the wheel into a new environment; what it ships."""
    venv.create(environment, with_pip=True)
    subprocess.run([environment / 'bin/pip', 'install', '--quiet', wheel], check=True)
    return environment / 'share/caldiff_ros'


def localized(environment: Path, shipped: Path) -> list[list[float]]:
    """T_map_cam (4 x 4) as the command prints it."""
    command = [environment / 'bin/caldiff', 'localize', shipped / 'maps/diorama_room']
    result = subprocess.run(
        [*command, shipped / 'demo' / IMAGE, '--json'],
        check=True,
        stdout=subprocess.PIPE,
        cwd=environment,  # not where the sources are
    )
    [answer] = json.loads(result.stdout)
    print(f'{answer["status"]}: {answer["message"]}')
    return answer['T_map_cam']


def errors(T: list[list[float]], T_true: list[list[float]]) -> tuple[float, float]:
    """Distance in map units and angle in degrees of two poses (4 x 4)."""
    distance = math.dist([row[3] for row in T[:3]], [row[3] for row in T_true[:3]])
    trace = sum(T[i][j] * T_true[i][j] for i in range(3) for j in range(3))
    return distance, math.degrees(math.acos(max(-1.0, min(1.0, (trace - 1) / 2))))


def megabytes(folder: Path) -> float:
    """Size of all files below a folder."""
    files = (path for path in folder.rglob('*') if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def main() -> int:
    """Install, localize, compare."""
    wheel = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / 'environment'
        shipped = installed(wheel, environment)
        print(f'installed: {megabytes(environment):.0f} MB')

        T = localized(environment, shipped)
        entries = json.loads((shipped / 'demo/poses.json').read_text())
        [T_true] = [entry['T_map_cam'] for entry in entries if entry['image'] == IMAGE]
        found = errors(T, T_true)

    print('off by {:.4f} map units and {:.3f} degrees'.format(*found))
    return 0 if found[0] <= LARGEST_ERROR[0] and found[1] <= LARGEST_ERROR[1] else 1


if __name__ == '__main__':
    sys.exit(main())
