# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch file starts, with stand-ins for launch where it cannot be imported.

`test_ros_config` loads it with the real launch.
"""

import importlib.util
import re
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest
from ament_index_python import PackageNotFoundError, get_package_share_directory

PATH = Path(get_package_share_directory('caldiff_ros')) / 'launch/localize.launch.py'


class Action(SimpleNamespace):
    """Any action or description: keeps what it was made with."""

    def __init__(self, *parts, **details) -> None:
        super().__init__(parts=parts, **details)


class LaunchConfiguration:
    def __init__(self, name) -> None:
        self.name = name

    def perform(self, context):
        return context[self.name]


class Node(Action):
    pass


STAND_INS = {
    'launch': {'LaunchDescription': Action},
    'launch.actions': {
        'DeclareLaunchArgument': Action,
        'ExecuteProcess': type('ExecuteProcess', (Action,), {}),
        'LogInfo': type('LogInfo', (Action,), {}),
        'OpaqueFunction': Action,
        'Shutdown': type('Shutdown', (Action,), {}),
    },
    'launch.substitutions': {'LaunchConfiguration': LaunchConfiguration},
    'launch_ros': {},
    'launch_ros.actions': {'Node': Node},
    'launch_ros.parameter_descriptions': {'ParameterValue': lambda value, value_type: value},
}


@pytest.fixture
def launch_file(monkeypatch):
    for name, members in STAND_INS.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location('localize_launch', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def get_package_prefix(name):
        if name not in module.installed:
            raise PackageNotFoundError(name)

    module.installed = set()
    monkeypatch.setattr(module, 'get_package_prefix', get_package_prefix)
    return module


def start(launch_file, **arguments) -> list:
    defaults = {name: default for name, (default, *_) in launch_file.ARGUMENTS.items()}
    return launch_file.start({**defaults, **arguments})


def nodes(actions) -> dict:
    return {action.executable: action for action in actions if isinstance(action, Node)}


def test_everything_ends_with_the_localizer(launch_file):
    started = nodes(start(launch_file, demo='true'))
    assert set(started) == {'localizer', 'demo_camera'}
    assert type(started['localizer'].on_exit).__name__ == 'Shutdown'
    assert not hasattr(started['demo_camera'], 'on_exit')


def test_namespace_reaches_the_images_of_the_demo(launch_file):
    started = nodes(start(launch_file, demo='true', namespace='robot1'))
    for node in started.values():
        assert node.namespace == 'robot1'
        assert node.remappings == [
            ('image', 'camera/image_raw'),
            ('camera_info', 'camera/camera_info'),
        ]


def test_map_preset_and_device_go_over_the_file(launch_file):
    localizer = nodes(start(launch_file, map='/a/map', bag='')).get('localizer')
    file, given = localizer.parameters
    assert file.endswith('config/localize.yaml')
    assert given == {'map': '/a/map', 'use_sim_time': False}


@pytest.mark.parametrize(
    ('arguments', 'package'),
    [({'rviz': 'true'}, 'rviz2'), ({'bag': '/a/bag'}, 'ros2bag')],
)
def test_what_is_not_installed_is_told_before_anything_is_started(launch_file, arguments, package):
    with pytest.raises(RuntimeError, match=f'needs the package {package}, which is not installed'):
        start(launch_file, **arguments)
    launch_file.installed.add(package)
    assert len(start(launch_file, **arguments)) == 3


def test_bag_brings_its_clock(launch_file):
    launch_file.installed.add('ros2bag')
    actions = start(launch_file, bag='/a/bag')
    assert nodes(actions)['localizer'].parameters[1]['use_sim_time'] is True
    assert actions[-1].cmd == ['ros2', 'bag', 'play', '/a/bag', '--clock']


@pytest.mark.parametrize(
    'text',
    [
        '/**/localizer: {ros__parameters: {seed: 1}}',
        '/**: {ros__parameters: {seed: 1}}',
        'localizer: {ros__parameters: {seed: 1}}',
        '/robot1/localizer: {ros__parameters: {seed: 1}}',
        'robot1: {localizer: {ros__parameters: {seed: 1}}}',
        'other: {ros__parameters: {a: 1}}\n/*/localizer: {ros__parameters: {seed: 1}}',
    ],
)
def test_parameters_of_the_localizer_are_taken_under_any_of_its_names(launch_file, text, tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    assert nodes(start(launch_file, params_file=str(path)))['localizer'].parameters[0] == str(path)


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        (None, 'cannot be read'),
        ('a: [', 'cannot be read'),
        ('', 'has parameters of no node, expected those of localizer'),
        ('seed: 1', 'has parameters of no node'),
        ('/localiser: {ros__parameters: {seed: 1}}', 'has parameters of /localiser, expected'),
    ],
)
def test_file_that_the_localizer_takes_nothing_from_is_refused(
    launch_file, text, sentence, tmp_path
):
    path = tmp_path / 'mine.yaml'
    if text is not None:
        path.write_text(text)
    with pytest.raises(RuntimeError, match=re.escape(sentence)):
        start(launch_file, params_file=str(path))
