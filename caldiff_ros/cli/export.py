# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write the Gaussians of a map as a splat for SuperSplat and other viewers.

The file is in the frame and unit of the map: a .ply in the layout of 3DGS, or a quantized .spz of
a fifth of its size. The Gaussians are anti-aliased (Mip-Splatting): use that mode in viewers that
have it; others show small Gaussians too bright and too large. The file declares it, which
SuperSplat recognizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from caldiff_ros.cli.common import MapPath
from caldiff_ros.console import plain_console
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.splats.exporting import map_splat
from caldiff_ros.splats.writing import write_splat
from caldiff_ros.wording import counted


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of ``caldiff export``."""

    map: MapPath
    """Folder of a map whose field is made of Gaussians, the default of build-map."""

    output: Annotated[Positional[Path], arg(metavar='SCENE')]
    """File to write, .ply or .spz."""


def run(arguments: Arguments) -> int:
    """Write the file and print a summary."""
    loaded = LocalizationMap.load(arguments.map)
    splat = map_splat(loaded)
    write_splat(splat, arguments.output)

    unit = 'in metres' if loaded.metric else 'in the unit of the training poses'
    plain_console().print(
        f'{counted(len(splat), "Gaussian")} with harmonics of degree {splat.sh_degree}, {unit}, '
        f'written to {arguments.output}',
        soft_wrap=True,
    )
    return 0
