# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A loaded map and a localizer, together with the parameters that they were made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ament_index_python import get_package_share_directory

from caldiff_ros.localization import LocalizationMap, Localizer
from caldiff_ros.localization.masks import read_mask
from caldiff_ros.localization.presets import LocalizerConfig, configuration
from caldiff_ros.ros.parameters import LocalizerParameters

#: The map that ships with the package, below its share folder.
SHIPPED_MAP = 'maps/diorama_room'
#: Length of a frustum as a fraction of the extent of the training cameras.
FRUSTUM_FRACTION = 0.06


@dataclass(frozen=True)
class LoadedMap:
    """What one localization works with; a change of parameters makes another one.

    Attributes:
        parameters: those it was made from.
        localizer: on its device.
        files: names, sizes and times of the files of the map when it was read.
    """

    parameters: LocalizerParameters
    localizer: Localizer
    files: tuple[tuple[str, int, int], ...]

    @classmethod
    def load(cls, parameters: LocalizerParameters) -> LoadedMap:
        """Read the map.

        Raises:
            CaldiffError: if map, mask or preset cannot be used.
        """
        path = map_path(parameters)
        files = _files(path)  # before: what is written meanwhile is then seen as a change
        return cls._make(parameters, LocalizationMap.load(path), files)

    def changed(self, parameters: LocalizerParameters, *, read_again: bool = False) -> LoadedMap:
        """The loaded_map for other parameters; reads the map only if it is another one.

        Args:
            parameters: the new ones.
            read_again: whether to look if the files of the map were changed.

        Raises:
            CaldiffError: if map, mask or preset cannot be used; this loaded_map stays as it is.
        """
        path = map_path(parameters)
        if path != map_path(self.parameters) or (read_again and _files(path) != self.files):
            return self.load(parameters)

        return self._make(parameters, self.map, self.files)

    @property
    def map(self) -> LocalizationMap:
        """The map."""
        return self.localizer.map

    @property
    def frame(self) -> str:
        """Frame of the poses."""
        return self.parameters.map_frame or self.map.frame_id

    @property
    def description(self) -> str:
        """Where it is from and what it is used with, as a clause."""
        return (
            f'map {self.map.name} loaded from {map_path(self.parameters)}, frame {self.frame}, '
            f'computing on {self.localizer.device}'
        )

    @property
    def frustum_depth(self) -> float:
        """Length of a camera frustum, in map units."""
        return self.parameters.marker_size or FRUSTUM_FRACTION * self.map.unit

    @classmethod
    def _make(
        cls,
        parameters: LocalizerParameters,
        localization_map: LocalizationMap,
        files: tuple[tuple[str, int, int], ...],
    ) -> LoadedMap:
        mask = read_mask(Path(parameters.mask).expanduser()) if parameters.mask else None
        localizer = Localizer(
            localization_map,
            localizer_config(parameters),
            device=parameters.device,
            seed=parameters.seed,
            mask=mask,
        )

        return cls(parameters, localizer, files)


def _files(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files of a map; none if it cannot be looked at."""
    try:
        states = [(file.name, file.stat()) for file in sorted(path.iterdir())]
    except OSError:
        return ()

    return tuple((name, state.st_size, state.st_mtime_ns) for name, state in states)


def map_path(parameters: LocalizerParameters) -> Path:
    """Folder of the map."""
    shipped = Path(get_package_share_directory('caldiff_ros')) / SHIPPED_MAP
    return Path(parameters.map).expanduser() if parameters.map else shipped


def localizer_config(parameters: LocalizerParameters) -> LocalizerConfig:
    """The preset with the numbers that are parameters of the node."""
    preset = configuration(parameters.preset)
    return replace(
        preset,
        particles=parameters.particles or preset.particles,
        min_confidence=parameters.min_confidence,
        ambiguity_ratio=parameters.ambiguity_ratio,
        prior_share=parameters.prior_share,
    )
