# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The kinds of fields: one row for each, all that the rest of the package tells them apart by."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.nerf.field import RadianceField
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField
from caldiff_ros.nerf.nerfacto import NerfactoConfig, NerfactoField
from caldiff_ros.nerf.tiny import TinyNerf, TinyNerfConfig

if TYPE_CHECKING:
    from caldiff_ros.mapping.field_training import FieldTraining


@dataclass(frozen=True, kw_only=True)
class FieldKind:
    """One kind of field.

    Attributes:
        name: in map.yaml and on the command line.
        size: configuration of the field, every number resolved; part of the map format.
        field: the field itself, made from its size, its box (2, 3) and its background.
        training: module with ``PRESETS``, the user's configurations of its training by build
            preset; loaded only to make a map, so that a robot loads no trainer.
        requires: package that must be installed to use it, empty if none.
        is_baked: whether a map had better hold a native field that shows the same.
    """

    name: str
    size: type
    field: Callable[[Any, Tensor, str], RadianceField]
    training: str
    requires: str = ''
    is_baked: bool = False

    def presets(self) -> dict[str, FieldTraining]:
        """Trainings by build preset."""
        return importlib.import_module(self.training).PRESETS

    def check_installed(self) -> None:
        """Refuse to go on without what the kind needs.

        Raises:
            CaldiffError: if it is missing.
        """
        if self.requires and importlib.util.find_spec(self.requires) is None:
            raise CaldiffError(
                f'{self.requires} cannot be imported, expected it for a {self.name} field; install '
                f'it with pip install {self.requires}'
            )


FIELD_KINDS = {
    kind.name: kind
    for kind in (
        FieldKind(
            name='gaussians',
            size=GaussianConfig,
            field=GaussianField,
            training='caldiff_ros.mapping.gaussian_training',
        ),
        FieldKind(
            name='tiny',
            size=TinyNerfConfig,
            field=TinyNerf,
            training='caldiff_ros.mapping.tiny_training',
        ),
        FieldKind(
            name='nerfacto',
            size=NerfactoConfig,
            field=NerfactoField,
            training='caldiff_ros.mapping.nerfacto_training',
            requires='nerfstudio',
            is_baked=True,
        ),
    )
}

#: The kind that maps hold by default, that others are baked into, and that is calibrated with.
NATIVE_KIND = 'gaussians'
