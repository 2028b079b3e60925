# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files for other machines, which cannot be run here: they parse, and name what is there."""

import json
import re
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

import caldiff_ros

ROOT = Path(__file__).parents[1]
FORMS = [p for p in (ROOT / '.github/ISSUE_TEMPLATE').glob('*.yml') if p.name != 'config.yml']


@pytest.fixture(scope='module')
def jobs() -> dict:
    return yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())['jobs']


def test_every_job_runs_something_on_a_machine(jobs):
    assert set(jobs) == {'wheels', 'distribution', 'lowest', 'docs', 'package', 'image'}
    for job in jobs.values():
        assert job['runs-on'] == 'ubuntu-24.04'
        assert job['timeout-minutes'] <= 90
        assert all(('run' in step) != ('uses' in step) for step in job['steps'])


def test_each_distribution_is_tried_with_its_python(jobs):
    matrix = jobs['distribution']['strategy']['matrix']['include']
    # of Ubuntu 22.04, 24.04, 24.04 and 26.04
    assert {row['ros']: row['python'] for row in matrix} == {
        'humble': '3.10',
        'jazzy': '3.12',
        'kilted': '3.12',
        'lyrical': '3.14',
    }


def test_all_wheels_are_tried(jobs):
    matrix = jobs['wheels']['strategy']['matrix']['include']
    known = runpy.run_path(str(ROOT / 'scripts/ros_wheels.py'))['WHEELS']
    assert {row['ros'] for row in matrix} == set(known)


def test_files_that_the_jobs_name_are_there(jobs):
    commands = [step.get('run', '') for job in jobs.values() for step in job['steps']]
    named = re.findall(r'\b(?:test|scripts)/[\w./]+', '\n'.join(commands))
    assert len(named) >= 9
    assert [name for name in named if not (ROOT / name).exists()] == []
    targets = {word for run in commands for word in re.findall(r'make ([a-z ]+)', run)}
    made = re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    assert {target for line in targets for target in line.split()} <= set(made)


def test_the_image_starts_the_launch_file():
    lines = (ROOT / 'Dockerfile').read_text().splitlines()
    [entry] = [line.removeprefix('ENTRYPOINT ') for line in lines if line.startswith('ENTRYPOINT')]
    shell, option, command, _ = json.loads(entry)
    assert (shell, option) == ('/bin/bash', '-c')
    launched = re.search(r'ros2 launch caldiff_ros (\S+) "\$@"$', command)
    assert (ROOT / 'launch' / launched[1]).is_file()


def test_the_development_container_is_a_stage_of_the_image():
    folder = ROOT / '.devcontainer'
    build = json.loads((folder / 'devcontainer.json').read_text())['build']
    dockerfile = (folder / build['dockerfile']).read_text()
    assert re.search(rf'^FROM \S+ AS {build["target"]}$', dockerfile, re.MULTILINE)


@pytest.mark.parametrize('path', FORMS, ids=lambda path: path.stem)
def test_issue_forms_ask_something(path):
    form = yaml.safe_load(path.read_text())
    assert {'name', 'description', 'body'} <= set(form)
    kinds = {'markdown', 'textarea', 'input', 'dropdown', 'checkboxes'}
    assert {part['type'] for part in form['body']} <= kinds
    required = [part.get('validations', {}).get('required') for part in form['body']]
    assert True in required


def test_hooks_before_a_commit_are_the_linters_of_the_project():
    [local] = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    tools = {hook['entry'].split()[0] for hook in local['hooks']}
    assert tools == {'.venv/bin/ruff', '.venv/bin/mypy'}


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    project = re.search(r'^version = "(.+)"$', (ROOT / 'pyproject.toml').read_text(), re.MULTILINE)
    changelog = re.findall(
        r'^(\d+\.\d+\.\d+) \((.+)\)$', (ROOT / 'CHANGELOG.rst').read_text(), re.MULTILINE
    )
    versions = {citation['version'], package.findtext('version'), project[1], changelog[0][0]}
    assert versions == {caldiff_ros.__version__}
    assert str(citation['date-released']) == changelog[0][1]
