# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The page docs/parameters.md, from the same source as the parameters themselves."""

from __future__ import annotations

import sys
from dataclasses import Field, fields
from pathlib import Path

from caldiff_ros.docstrings import field_docstrings
from caldiff_ros.ros.parameters import LocalizerParameters

_HEAD = """# Parameters of the localizer

<!-- Written by `make docs` from caldiff_ros/ros/parameters.py; do not edit. -->

Set them in [config/localize.yaml](../config/localize.yaml) or a copy of it (`params_file:=`), or
with `ros2 param set /localizer NAME VALUE` while the node runs, except for those marked *at start
only*. A value that is rejected leaves the node unchanged, and the response gives the reason.
The quality of service of a subscription is set by `qos_overrides.TOPIC.subscription.reliability`,
`.durability`, `.history` and `.depth`, with the full name of the topic.
"""


def parameters_page() -> str:
    """The page as Markdown."""
    docs = field_docstrings(LocalizerParameters)
    entries = [_entry(parameter, docs[parameter.name]) for parameter in fields(LocalizerParameters)]
    return '\n'.join([_HEAD, *entries])


def _entry(parameter: Field, description: str) -> str:
    kind = type(parameter.default).__name__
    default = str(parameter.default).lower() if kind == 'bool' else repr(parameter.default)
    facts = [kind, f'default `{default}`']
    if parameter.metadata['choices']:
        facts.append(
            'one of ' + ', '.join(f'`{choice}`' for choice in parameter.metadata['choices'])
        )

    if parameter.metadata['within'] is not None:
        facts.append('`{:g}` to `{:g}`'.format(*parameter.metadata['within']))

    if parameter.metadata['read_only']:
        facts.append('at start only')

    return f'## {parameter.name}\n\n*{", ".join(facts)}*\n\n{description}\n'


def main() -> int:
    """Write the page to the file that is the first argument."""
    Path(sys.argv[1]).write_text(parameters_page())
    return 0


if __name__ == '__main__':
    sys.exit(main())
