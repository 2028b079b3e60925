# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of README and docs: which of them check_docs.py runs, and why not the others."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Commands that `check_docs.py --run` runs, in this order: short, with no data but that of the
#: repository, which its sandbox holds under the names that the docs use.
RUN = (
    'caldiff check DATA',
    'caldiff check place-data',
    'caldiff evaluate my_map DATA',
    'caldiff localize my_map image.png --save-overlay overlays',
    'caldiff export my_map my_map.ply',
    'caldiff export my_map scene.ply',
)
#: Beginnings of the other commands, and why they are not run. `problem` checks their arguments.
NOT_RUN = {
    'make demo': 'a job of the workflow runs it',
    'make test': 'a job of the workflow runs it',
    'make lint types': 'a job of the workflow runs it',
    'make setup': 'installs gigabytes; jobs of the workflow run it',
    'make baselines': 'installs the packages of Hloc',
    'pytest ': 'a part of make test',
    '. .venv/bin/activate': 'changes the shell in which it is typed',
    '. install/setup.': 'changes the shell in which it is typed',
    'ros2 ': 'needs a camera or a running node',
    'caldiff build-map ': 'trains for minutes or hours',
    'caldiff evaluate lego_map ': 'needs a map of a dataset that is not in the repository',
    'caldiff evaluate studio_map ': 'needs a map of a dataset that is not in the repository',
    'caldiff evaluate studio_without ': 'needs a map of a splat that is not in the repository',
    'caldiff evaluate without ': 'needs a map of a splat that is not in the repository',
    'caldiff reproduce ': 'takes hours, on datasets that are not in the repository',
    'caldiff benchmark ': 'needs a dataset that is not in the repository, and Hloc',
    'caldiff localize $share/': 'check_wheel.py runs it in an empty environment',
    'share=$(': 'check_wheel.py does the same in an empty environment',
    'python scripts/check_cuda.py': 'needs a GPU',
    'python scripts/measure_splat.py ': 'needs a splat that is not in the repository',
    'ns-train ': 'needs nerfstudio and a GPU',
    'pip ': 'installs gigabytes; a job of the workflow runs it',
    'cd my_workspace': 'the workspace of a user',
    'rosdep ': 'needs root; a job of the workflow runs it',
    'python3 -m venv ': 'makes an environment beside a ROS distribution',
    'colcon ': 'needs a ROS distribution; a job of the workflow runs it with one',
}


@dataclass(frozen=True)
class Command:
    """A command line of a page, without its comment.

    Attributes:
        page: path of the page in the repository.
        text: as it is typed, in one line.
    """

    page: str
    text: str

    @property
    def reason(self) -> str | None:
        """Why it is not run; None if it is run, or not listed."""
        if self.text in RUN:
            return None
        return next((why for start, why in NOT_RUN.items() if self.matches(start)), None)

    @property
    def is_known(self) -> bool:
        """Whether it is listed."""
        return self.text in RUN or self.reason is not None

    def matches(self, start: str) -> bool:
        """Whether it begins with a key of `NOT_RUN`."""
        return f'{self.text} '.startswith(start)


def pages() -> list[Path]:
    """The Markdown files that people read."""
    named = [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'SECURITY.md')]
    folders = ('docs', 'examples', '.github')
    return named + sorted(path for name in folders for path in (ROOT / name).rglob('*.md'))


def commands(page: Path) -> Iterator[Command]:
    """The commands in the ```bash blocks of a page."""
    name = page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name
    for block in re.findall(
        r'^ *```bash\n(.*?)^ *```$', page.read_text(), re.DOTALL | re.MULTILINE
    ):
        for line in block.replace('\\\n', ' ').splitlines():
            text = ' '.join(_without_comment(line).split())
            if text:
                yield Command(name, text)


def problem(command: Command) -> str | None:
    """What is wrong with the arguments of a command, as far as is known without running it."""
    words = shlex.split(command.text)
    match words:
        case ['caldiff', verb, *arguments]:
            return _caldiff_problem(verb, arguments)
        case ['make', *targets]:
            made = re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
            named = [target for target in targets if '=' not in target]
            return _missing('target', named, made)
        case ['python', script, *_]:
            return None if (ROOT / script).is_file() else f'there is no script {script}'
        case ['pytest', *paths]:
            return next((f'there is no test {p}' for p in paths if not (ROOT / p).exists()), None)
        case ['ros2', 'launch', 'caldiff_ros', launch, *arguments]:
            return _launch_problem(launch, [word.partition(':=')[0] for word in arguments])
        case ['ros2', 'action', 'send_goal', *arguments]:
            of_ours = [word for word in arguments if word.startswith('caldiff_ros/action/')]
            known = [f'caldiff_ros/action/{path.stem}' for path in (ROOT / 'action').iterdir()]
            return _missing('action', of_ours, known)
    return None


def _caldiff_problem(verb: str, arguments: list[str]) -> str | None:
    from caldiff_ros.cli.command import VERBS, parsed
    from caldiff_ros.errors import CaldiffError

    if verb not in VERBS:
        return f'there is no verb {verb}'
    try:
        parsed(verb, arguments)
    except CaldiffError as error:
        return str(error)
    except SystemExit as end:  # the message is on standard error
        return f'its arguments are not understood (status {end.code})'
    return None


def _launch_problem(launch: str, names: list[str]) -> str | None:
    path = ROOT / 'launch' / launch
    if not path.is_file():
        return f'there is no launch file {launch}'
    [declared] = [
        ast.literal_eval(ast.unparse(statement.value.keys))
        for statement in ast.parse(path.read_text()).body
        if isinstance(statement, ast.Assign)
        and ast.unparse(statement.targets[0]) == 'ARGUMENTS'
        and isinstance(statement.value, ast.Dict)
    ]
    return _missing(f'argument of {launch}', names, declared)


def _missing(kind: str, names: list[str], known: list[str]) -> str | None:
    return next((f'there is no {kind} {name}' for name in names if name not in known), None)


def _without_comment(line: str) -> str:
    """The line without what follows a # that begins a word outside quotes."""
    quote = ''
    for i, letter in enumerate(line):
        if quote:
            quote = '' if letter == quote else quote
        elif letter in '\'"':
            quote = letter
        elif letter == '#' and (i == 0 or line[i - 1].isspace()):
            return line[:i]
    return line
