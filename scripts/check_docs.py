# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Check the commands and links of README and docs.

Run as ``python scripts/check_docs.py [--run]``. Every command must be listed in doc_commands.py, as
one that is run or as one that is not, with the reason. The arguments of all commands are checked;
``--run`` also runs the short ones, in a folder that holds the files they name. Every relative link
and anchor must exist; addresses must be well-formed, but are not visited. The exit status is 0 if
nothing is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from doc_commands import NOT_RUN, ROOT, RUN, Command, commands, pages, problem

_FENCE = re.compile(r'^ *```.*?^ *```$', re.DOTALL | re.MULTILINE)
_LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
#: Camera axes of OpenCV, as the demo has them, to those of OpenGL, as transforms.json has them.
_OPENGL_FROM_OPENCV = (1, -1, -1, 1)


def command_problems(found: list[Command]) -> Iterator[str]:
    """Commands that are not listed or have wrong arguments, and list entries without a command."""
    for command in found:
        if not command.is_known:
            yield (
                f'{command.page}: `{command.text}` is not listed in doc_commands.py; add it to '
                'RUN, or to NOT_RUN with the reason'
            )
        wrong = problem(command)
        if wrong:
            yield f'{command.page}: `{command.text}`: {wrong}'

    texts = {command.text for command in found}
    yield from (
        f'no page has `{text}` any more, which RUN names' for text in RUN if text not in texts
    )
    for start in NOT_RUN:
        if not any(command.matches(start) for command in found):
            yield f'no page has `{start}` any more, which NOT_RUN names'


def link_problems(page: Path) -> Iterator[str]:
    """Links of a page to files, headings or addresses that do not exist."""
    for target in _LINK.findall(_FENCE.sub('', page.read_text())):
        parts = urlsplit(target)
        if parts.scheme:
            if parts.scheme not in ('http', 'https', 'mailto') or not (parts.netloc or parts.path):
                yield f'{page.name}: {target} is not an address'
            continue

        path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not path.exists():
            yield f'{page.name}: {target} does not exist'
        elif parts.fragment and parts.fragment not in anchors(path):
            yield f'{page.name}: {target} names a heading that {path.name} does not have'


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    if page.suffix != '.md':
        return set()
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in re.findall(r'^#+ +(.*?) *$', _FENCE.sub('', page.read_text()), re.MULTILINE):
        text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading).lower()
        anchor = re.sub(r'[^\w\- ]', '', text).replace(' ', '-')
        found.add(f'{anchor}-{seen[anchor]}' if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def make_sandbox(folder: Path) -> dict[str, str]:
    """Fill a folder with the files that the commands name; the environment to run them in."""
    demo = ROOT / 'demo'
    shutil.copytree(ROOT / 'maps/diorama_room', folder / 'my_map')
    shutil.copy(demo / 'images/10.png', folder / 'image.png')
    for name in ('DATA', 'place-data'):
        shutil.copytree(demo / 'images', folder / name / 'images')
        (folder / name / 'transforms.json').write_text(json.dumps(_transforms(demo)))

    # `caldiff` is the one of this checkout, with the Python of this script
    command = folder / 'bin/caldiff'
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m caldiff_ros.cli "$@"\n')
    command.chmod(0o755)
    paths = {'PATH': str(command.parent), 'PYTHONPATH': str(ROOT)}
    joined = {
        name: os.pathsep.join(filter(None, [path, os.environ.get(name)]))
        for name, path in paths.items()
    }
    return {**os.environ, **joined}


def _transforms(demo: Path) -> dict:
    """The images of the demo as a dataset of nerfstudio."""
    camera = json.loads((demo / 'camera.json').read_text())
    frames = [
        {
            'file_path': entry['image'],
            'transform_matrix': [
                [value * sign for value, sign in zip(row, _OPENGL_FROM_OPENCV, strict=True)]
                for row in entry['T_map_cam']
            ],
        }
        for entry in json.loads((demo / 'poses.json').read_text())
    ]
    keys = {'w': 'width', 'h': 'height', 'fl_x': 'fx', 'fl_y': 'fy', 'cx': 'cx', 'cy': 'cy'}
    return {**{key: camera[name] for key, name in keys.items()}, 'frames': frames}


def run(texts: list[str] | tuple[str, ...]) -> Iterator[str]:
    """Run commands in order in a new sandbox; yield those that fail, with their output."""
    with tempfile.TemporaryDirectory() as name:
        environment = make_sandbox(Path(name))
        for text in texts:
            start = time.monotonic()
            result = subprocess.run(
                ['bash', '-c', text], cwd=name, env=environment, capture_output=True, text=True
            )
            print(f'ran in {time.monotonic() - start:.1f} s: {text}', flush=True)
            if result.returncode != 0:
                output = f'{result.stdout}{result.stderr}'.strip()
                yield f'`{text}` ends with status {result.returncode}:\n{output}'


def main() -> int:
    """Check, and print the problems."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--run', action='store_true', help='run the short commands')
    arguments = parser.parse_args()

    found = [command for page in pages() for command in commands(page)]
    problems = [*command_problems(found), *(p for page in pages() for p in link_problems(page))]
    if arguments.run:
        problems += run(RUN)

    for text, why in sorted({(c.text, c.reason) for c in found if c.reason}):
        print(f'not run: {text} ({why})')
    print(f'{len(found)} commands and {len(pages())} pages, {len(problems)} problems')
    print(*problems, sep='\n', file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
