# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Commands and links of README and docs, and that check_docs.py would notice wrong ones."""

import importlib
import re
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / 'scripts'


@pytest.fixture(scope='module')
def scripts():
    sys.path.insert(0, str(SCRIPTS))
    yield importlib.import_module('doc_commands'), importlib.import_module('check_docs')
    sys.path.remove(str(SCRIPTS))


def test_every_command_is_listed_and_its_arguments_are_understood(scripts):
    doc_commands, check_docs = scripts
    found = [command for page in doc_commands.pages() for command in doc_commands.commands(page)]
    assert len(found) > 50
    assert list(check_docs.command_problems(found)) == []


def test_every_link_leads_somewhere(scripts):
    doc_commands, check_docs = scripts
    problems = [p for page in doc_commands.pages() for p in check_docs.link_problems(page)]
    assert problems == []


def test_the_readme_stays_short(scripts):
    doc_commands, _ = scripts
    assert len((doc_commands.ROOT / 'README.md').read_text().split()) <= 1200


def test_the_fastest_commands_run(scripts):
    _, check_docs = scripts
    fastest = ['caldiff check DATA', 'caldiff export my_map scene.ply']
    assert list(check_docs.run(fastest)) == []


def test_a_command_that_fails_is_reported_with_its_output(scripts):
    _, check_docs = scripts
    [failure] = check_docs.run(['ls my_map > /dev/null', 'echo halfway && false'])
    assert failure == '`echo halfway && false` ends with status 1:\nhalfway'


def test_commands_are_read_as_a_shell_reads_them(scripts, tmp_path):
    doc_commands, _ = scripts
    page = tmp_path / 'page.md'
    page.write_text(
        'text\n\n```bash\nmake demo     # a comment\n\n'
        "colcon build \\\n    --packages-select a\npip install 'a#b'\n```\n\n"
        '```python\nmake = 1\n```\n\n- item\n\n  ```bash\n  make test\n  ```\n'
    )
    assert [command.text for command in doc_commands.commands(page)] == [
        'make demo',
        'colcon build --packages-select a',
        "pip install 'a#b'",
        'make test',
    ]


@pytest.mark.parametrize(
    ('text', 'wrong'),
    [
        ('make coffee', 'there is no target coffee'),
        ('caldiff locate my_map image.png', 'there is no verb locate'),
        ('caldiff localize my_map image.png --save-overlays o', 'not understood'),
        ('caldiff build-map DATA --output m --preset slow', "preset 'slow' is not known"),
        ('python scripts/measure.py', 'there is no script scripts/measure.py'),
        ('pytest test/no_such_test.py', 'there is no test test/no_such_test.py'),
        ('ros2 launch caldiff_ros start.launch.py', 'there is no launch file start.launch.py'),
        (
            'ros2 launch caldiff_ros localize.launch.py maps:=m',
            'there is no argument of localize.launch.py maps',
        ),
        (
            'ros2 action send_goal /localize caldiff_ros/action/Locate "{}"',
            'there is no action caldiff_ros/action/Locate',
        ),
    ],
)
def test_wrong_arguments_are_noticed(scripts, text, wrong):
    doc_commands, _ = scripts
    assert wrong in doc_commands.problem(doc_commands.Command('page.md', text))


def test_commands_that_are_not_listed_and_entries_without_a_command_are_noticed(scripts):
    doc_commands, check_docs = scripts
    problems = list(check_docs.command_problems([doc_commands.Command('page.md', 'rm -r /')]))
    assert re.match(r'page\.md: `rm -r /` is not listed', problems[0])
    assert 'no page has `caldiff check DATA` any more, which RUN names' in problems
    assert 'no page has `make demo` any more, which NOT_RUN names' in problems


def test_links_to_nothing_are_noticed(scripts, tmp_path):
    _, check_docs = scripts
    page, other = tmp_path / 'page.md', tmp_path / 'other.md'
    other.write_text('# One\n\n## On a `GPU`: what, why?\n\n## One\n\n```\n# no heading\n```\n')
    page.write_text(
        '[a](other.md) [b](other.md#on-a-gpu-what-why) [c](other.md#one-1) [d](https://a.org/b)\n'
        '[e](missing.md) [f](other.md#two) [g](other.md#no-heading) [h](ftp://a.org) [i](https:)\n'
        '```\n[j](missing-too.md)\n```\n'
    )
    assert [problem.split()[1] for problem in check_docs.link_problems(page)] == [
        'missing.md', 'other.md#two', 'other.md#no-heading', 'ftp://a.org', 'https:',
    ]  # fmt: skip
