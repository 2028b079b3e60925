# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The page docs/api.md, from the docstrings of the public names.

Run as ``python scripts/api_docs.py docs/api.md``.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path

import caldiff_ros
from caldiff_ros.docstrings import field_docstrings

HEAD = """# Python interface

<!-- Written by `make docs` from the docstrings; do not edit. -->

```python
from caldiff_ros import LocalizationMap, Localizer, read_image

localizer = Localizer(LocalizationMap.load('my_map'))
image = read_image('image.png')
camera = localizer.map.camera.resized(width=image.shape[1], height=image.shape[0])
answer = localizer.localize(image, camera)
answer.status, answer.T_map_cam, answer.confidence
```

[examples](../examples) has complete programs. The names below, all imported from `caldiff_ros`, and
their members documented here are the public interface, together with the options of the command
`caldiff`, the [parameters](parameters.md), topics, services, action and messages of the node, and
the format of maps. Everything else is private by convention, whatever its name, and may change in
any version.

**Deprecation.** From version 1.0 on, the public interface keeps its meaning within a major version.
A deprecated part is kept for at least one minor version: it works as before, emits a
`DeprecationWarning` (the node: a log message) that names its replacement and the version of its
removal, and is listed in CHANGELOG.rst. Before 1.0, a minor version may change the public
interface; CHANGELOG.rst then describes the change and how to adapt. A map of another format version
is rejected with an error, never misread.

A pose `T_map_cam` transforms coordinates from the camera frame (x right, y down, z forward) to the
map frame.
"""
#: The names in the order of the page, with the members that are public too.
SECTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    'Localization': {
        'LocalizationMap': ('load', 'save', 'unit', 'to_map', 'to_norm', 'view', 'render'),
        'Localizer': ('localize',),
        'Camera': ('pinhole', 'resized', 'downscaled', 'matrix', 'project'),
        'Answer': ('seconds',),
        'Status': (),
        'Hypothesis': (),
        'Prior': (),
        'Particles': ('progress',),
        'CancelToken': ('cancel',),
        'Cancelled': (),
        'configuration': (),
        'LocalizerConfig': (),
        'read_image': (),
        'draw_overlay': (),
    },
    'Making maps': {
        'open_scene': (),
        'Scene': ('split', 'test_frames'),
        'TrainingData': ('load',),
        'build_map': (),
        'BuildConfig': (),
        'BuildContext': (),
    },
    'Errors': {'CaldiffError': ()},
}
#: What is returned, and made by no one else.
RETURNED = {'LocalizationMap', 'Answer', 'Hypothesis', 'Particles', 'Scene', 'TrainingData'}
#: Sections of a docstring; under these headings come entries with a name.
TITLES = {'Args:': 'Arguments', 'Attributes:': 'Attributes', 'Raises:': 'Raises'}
LINE = 88


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for title, names in SECTIONS.items():
        parts.append(f'## {title}\n')
        for name, members in names.items():
            parts += _entry(name, getattr(caldiff_ros, name))
            for member in members:
                parts += _member(f'{name}.{member}', vars(getattr(caldiff_ros, name))[member])

    return '\n'.join(parts)


def _entry(name: str, documented: object) -> Iterator[str]:
    """A class without its members, or a function."""
    yield f'### {name}\n'
    is_class = inspect.isclass(documented)
    if name not in RETURNED and not (is_class and issubclass(documented, (Enum, Exception))):
        yield _signature(name, documented)

    yield _markdown(documented)
    if is_class and issubclass(documented, Enum):
        yield ', '.join(f'`{each.name}` = {each.value}' for each in documented) + '\n'

    fields = field_docstrings(documented) if is_dataclass(documented) else {}
    if fields:
        yield '\n'.join(f'* `{field}`: {text}' for field, text in fields.items()) + '\n'


def _member(name: str, value: object) -> Iterator[str]:
    """A method or property."""
    if isinstance(value, property):
        yield f'#### {name} (property)\n\n{_markdown(value)}'
    else:
        function = getattr(value, '__func__', value)  # of a classmethod
        yield f'#### {name}\n\n{_signature(name, function)}\n{_markdown(function)}'


def _signature(name: str, called: object) -> str:
    """How to call it, on one line where that fits."""
    signature = inspect.signature(called)
    arguments: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and '*' not in arguments:
            arguments.append('*')
        if parameter.name not in ('self', 'cls'):
            arguments.append(_argument(parameter))

    returned = signature.return_annotation
    gives = f' -> {returned}' if isinstance(returned, str) and returned != 'None' else ''
    line = f'{name}({", ".join(arguments)}){gives}'
    if len(line) > LINE:
        line = f'{name}(\n    ' + ',\n    '.join(arguments) + f',\n){gives}'

    return f'```python\n{line}\n```\n'


def _argument(parameter: inspect.Parameter) -> str:
    default = parameter.default
    told = f'{parameter.name}: {parameter.annotation}'
    if default is parameter.empty:
        return told

    # objects, and what a factory makes, have no text that could be typed in
    text = getattr(default, '__name__', repr(default))
    return f'{told} = {"..." if text.startswith("<") else text}'


def _markdown(documented: object) -> str:
    """A docstring; its sections become lists."""
    out: list[str] = []
    for line in (inspect.getdoc(documented) or '').splitlines():
        if line in TITLES:
            out += [f'{TITLES[line]}:', '']
        elif line == 'Returns:':
            out += ['Returns:', '']
        elif re.match(r' {4}\S', line):
            name, colon, text = line.strip().partition(': ')
            is_entry = colon and re.fullmatch(r'[\w, ]+', name)
            out.append(f'* `{name}`: {text}' if is_entry else line.strip())
        else:
            out.append(f'  {line.strip()}' if line.startswith(' ') else line)

    return '\n'.join(out) + '\n'


def main() -> int:
    """Write the page to the file that is the first argument."""
    Path(sys.argv[1]).write_text(page())
    return 0


if __name__ == '__main__':
    sys.exit(main())
