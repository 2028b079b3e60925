# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments shared by several verbs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from tyro.conf import Positional, arg

from caldiff_ros.localization import LocalizationMap, Localizer

Device = Literal['auto', 'cpu', 'cuda']
MapPath = Annotated[Positional[Path], arg(metavar='MAP')]
DataPath = Annotated[Positional[Path], arg(metavar='DATA')]
OptionalDataPath = Annotated[Positional[Path | None], arg(metavar='[DATA]')]
ImagePaths = Annotated[
    Positional[tuple[Path, ...]],
    arg(metavar='IMAGE [IMAGE ...]', help_behavior_hint='(one or more)'),
]


@dataclass(frozen=True, kw_only=True)
class LocalizerArguments:
    """Arguments of the verbs that localize."""

    map: MapPath
    """Folder of the map, written by caldiff build-map."""

    preset: str = 'fast'
    """Localization preset: 'fast', 'accurate', or 'paper' with the parameters of the paper."""

    device: Device = 'auto'
    """Device for the computation; auto uses the GPU if there is one."""

    seed: int = 0
    """Seed of the particles: the same seed gives the same answers on the same machine."""

    def load(self, mask: np.ndarray | None = None) -> tuple[LocalizationMap, Localizer]:
        """The map and its localizer, with a mask as `Localizer` takes it."""
        loaded = LocalizationMap.load(self.map)
        localizer = Localizer(
            loaded, preset=self.preset, device=self.device, seed=self.seed, mask=mask
        )

        return loaded, localizer
