# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which ROS 2 distribution a machine without one gets from PyPI."""

from __future__ import annotations

from collections.abc import Iterable

#: The distributions that PyPI has, with what stands there for a package that pyproject.toml names.
WHEELS: dict[str, dict[str, tuple[str, ...]]] = {
    'kilted': {},
    # ament_cmake_ros is one package there, and asks for the test frameworks of C++ too
    'jazzy': {
        'ros-jazzy-ament-cmake-ros-core': (
            'ros-jazzy-ament-cmake-gmock',
            'ros-jazzy-ament-cmake-gtest',
        )
    },
}
#: The one that pyproject.toml names.
DEFAULT = 'kilted'


def choose_wheels(asked: str, sourced: str | None, installed: str | None) -> str:
    """The distribution whose wheels are wanted.

    Args:
        asked: what the user named, empty if nothing.
        sourced: the distribution of this shell, None on a bare machine. It needs no wheels.
        installed: what the environment has already, None if nothing.

    Raises:
        ValueError: if it cannot be had.
    """
    if sourced and asked not in ('', sourced):
        raise ValueError(
            f'ROS={asked} was asked for but {sourced} is sourced; leave ROS= out, or use a shell '
            'in which nothing is sourced'
        )
    if not sourced and asked and asked not in WHEELS:
        raise ValueError(
            f'PyPI has no wheels of ROS 2 {asked}, expected one of {", ".join(WHEELS)}; name one '
            f'of these, or source {asked} where it is installed'
        )
    return asked or installed or DEFAULT


def ros_requirements(names: Iterable[str], distribution: str) -> list[str]:
    """Requirements of pyproject.toml, with the wheels of another distribution."""
    renamed = [name.replace(f'ros-{DEFAULT}-', f'ros-{distribution}-') for name in names]
    return [there for name in renamed for there in WHEELS[distribution].get(name, (name,))]
