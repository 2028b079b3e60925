# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ``config.yml`` of an ns-train run, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from caldiff_ros.errors import CaldiffError

_PYTHON = 'tag:yaml.org,2002:python/'


class _PlainLoader(yaml.SafeLoader):
    """Python tags as plain data: objects are mappings, paths and tuples are themselves."""


def _construct_python(loader: _PlainLoader, suffix: str, node: yaml.Node) -> Any:
    kind, _, name = suffix.partition(':')
    if isinstance(node, yaml.ScalarNode):
        return name.rpartition('.')[2] or loader.construct_scalar(node)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)

    assert isinstance(node, yaml.SequenceNode)  # there are no other nodes
    values = loader.construct_sequence(node, deep=True)
    if kind == 'tuple':
        return tuple(values)
    if name.startswith('pathlib.'):
        return str(Path(*map(str, values)))

    return values


_PlainLoader.add_multi_constructor(_PYTHON, _construct_python)


def read_config(path: Path) -> dict[str, Any]:
    """The content of a ``config.yml`` as plain values; nothing in it is run.

    Raises:
        CaldiffError: if the file is missing or is no configuration of nerfstudio.
    """
    try:
        config = yaml.load(path.read_text(), Loader=_PlainLoader)  # a SafeLoader
    except OSError as error:
        raise CaldiffError(
            f'{path} cannot be read ({error.strerror}), expected the config.yml of an ns-train '
            'run; check the path'
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CaldiffError(
            f'{path} is not YAML, expected the config.yml of an ns-train run; check the path'
        ) from error

    if not isinstance(config, dict) or not isinstance(config.get('pipeline'), dict):
        raise CaldiffError(
            f'{path} has no "pipeline", expected the config.yml of an ns-train run; check the path'
        )

    return config
