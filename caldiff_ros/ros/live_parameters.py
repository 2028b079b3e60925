# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of a running node and the loaded_map that follows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from caldiff_ros.errors import CaldiffError
from caldiff_ros.ros.loaded_map import LoadedMap
from caldiff_ros.ros.parameters import (
    LocalizerParameters,
    declare_parameters,
    unknown_parameters,
)
from caldiff_ros.ros.problems import describe_exception

#: Paths whose files may be others although the parameter is set to what it was.
_FILES = {'map', 'mask'}


class LiveParameters:
    """Parameters and loaded_map, exchanged together: changes are checked first and applied then.

    Args:
        node: declares the parameters and logs them.
        on_change: called in the executor's thread with the names of what changed.

    Attributes:
        parameters: their values.
        loaded_map: made from them; None while none is loaded.

    Raises:
        CaldiffError: if a parameter cannot be used.
        rclpy.exceptions.ParameterException: likewise.
    """

    def __init__(self, node: Node, on_change: Callable[[set[str]], None]) -> None:
        self._on_change = on_change
        self.parameters = declare_parameters(node)
        self.loaded_map: LoadedMap | None = None
        self._checked: tuple[LocalizerParameters, LoadedMap | None] = self.parameters, None

        values = ' '.join(f'{name}={value!r}' for name, value in asdict(self.parameters).items())
        node.get_logger().info(f'parameters: {values}')
        for sentence in unknown_parameters(node):
            node.get_logger().warning(sentence)

        node.add_on_set_parameters_callback(self._check)
        self._applies_after = hasattr(node, 'add_post_set_parameters_callback')
        if self._applies_after:  # since Iron; before, what was checked is set for certain
            node.add_post_set_parameters_callback(self._apply)

    def load(self) -> LoadedMap:
        """Read the map.

        Raises:
            CaldiffError: if it cannot be used.
        """
        self.loaded_map = LoadedMap.load(self.parameters)
        return self.loaded_map

    def free(self) -> None:
        """Give the loaded_map up."""
        self.loaded_map = None
        self._checked = self.parameters, None

    def _check(self, changes: list[Parameter]) -> SetParametersResult:
        """Reject invalid values; a new map is loaded here while the old one is still in use."""
        known = asdict(self.parameters)
        values = {change.name: change.value for change in changes if change.name in known}
        parameters = self.parameters
        loaded_map = self.loaded_map
        try:
            parameters = replace(parameters, **values)
            others = loaded_map is not None and parameters != loaded_map.parameters
            if loaded_map is not None and (others or values.keys() & _FILES):
                loaded_map = loaded_map.changed(parameters, read_again='map' in values)
        except CaldiffError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # as of a GPU without memory for a second map
            return SetParametersResult(successful=False, reason=describe_exception(error))

        self._checked = parameters, loaded_map
        if not self._applies_after:
            self._apply(changes)

        return SetParametersResult(successful=True)

    def _apply(self, _: list[Parameter]) -> None:
        before = asdict(self.parameters)
        map_before = self.loaded_map and self.loaded_map.map
        self.parameters, self.loaded_map = self._checked
        changed = {name for name, value in asdict(self.parameters).items() if value != before[name]}
        if self.loaded_map and self.loaded_map.map is not map_before:  # also of the same path
            changed.add('map')

        if changed:
            self._on_change(changed)
