# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the localizer, and optionally RViz, a bag or the demo camera."""

from pathlib import Path

import yaml
from ament_index_python import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    Shutdown,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(get_package_share_directory('caldiff_ros'))
CONFIG = SHARE / 'config'
FLAGS = ('true', 'false', 'True', 'False')

#: Default, description, and the accepted values where there are few.
ARGUMENTS = {
    'map': ('', 'folder written by `caldiff build-map`; empty for the shipped map'),
    'image': ('camera/image_raw', 'topic of the images; compressed ones are at IMAGE/compressed'),
    'camera_info': ('camera/camera_info', 'topic of the camera_info'),
    'preset': ('', 'preset of the localizer; empty for that of params_file'),
    'device': ('', 'auto, cpu or cuda; empty for that of params_file'),
    'namespace': ('', 'namespace of the nodes'),
    'params_file': (str(CONFIG / 'localize.yaml'), 'parameters of the localizer'),
    'use_sim_time': ('false', 'take the time from /clock; true with a bag', FLAGS),
    'rviz': ('false', 'start RViz with the configuration of this package', FLAGS),
    'bag': ('', 'bag to play, with its clock'),
    'demo': ('false', 'start a camera that shows held-out images of the shipped map', FLAGS),
}


#: Last part of the name of a node in a file of parameters, for the localizer to take them.
LOCALIZER_KEYS = ('localizer', '*', '**')
#: What RViz shows or sends, absolute in its configuration.
RVIZ_TOPICS = (
    'particle_markers',
    'map_cameras',
    'map_points',
    'particles',
    'overlay',
    'pose_with_covariance',
    'initialpose',
)


def start(context):
    """The actions for the arguments; all are checked before anything is started."""
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    flags = {name: value.lower() == 'true' for name, value in values.items()}

    check_params_file(Path(values['params_file']))
    if flags['rviz']:
        check_package('rviz2', 'rviz:=true')

    if values['bag']:
        check_package('ros2bag', f'bag:={values["bag"]}')

    simulated = flags['use_sim_time'] or bool(values['bag'])
    clock = {'use_sim_time': simulated}
    topics = [(name, values[name]) for name in ('image', 'camera_info')]
    common = {'namespace': values['namespace'], 'output': 'screen', 'emulate_tty': True}

    what = f'map {values["map"]}' if values['map'] else 'the shipped map of diorama_room'
    actions = [
        LogInfo(msg=f'caldiff_ros: {what}, waiting for images on {values["image"]}'),
        localizer(values, clock, remappings=topics, **common),
    ]
    if flags['demo']:
        actions.append(demo_camera(clock, remappings=topics, **common))

    if flags['rviz']:
        actions.append(rviz(clock, **common))

    if values['bag']:
        command = ['ros2', 'bag', 'play', values['bag'], '--clock']
        actions.append(ExecuteProcess(cmd=command, output='screen'))

    return actions


def localizer(values, clock, **common):
    """The node; everything else is shut down when it exits."""
    given = {
        name: ParameterValue(values[name], value_type=str)
        for name in ('map', 'preset', 'device')
        if values[name]
    }
    return Node(
        package='caldiff_ros',
        executable='localizer',
        name='localizer',
        parameters=[values['params_file'], {**given, **clock}],
        on_exit=Shutdown(reason='the localizer exited'),
        **common,
    )


def demo_camera(clock, **common):
    """A camera that shows held-out images."""
    return Node(
        package='caldiff_ros',
        executable='demo_camera',
        name='demo_camera',
        parameters=[clock],
        **common,
    )


def rviz(clock, **common):
    """RViz; its configuration has absolute names, which are remapped into the namespace."""
    return Node(
        package='rviz2',
        executable='rviz2',
        name='rviz2',
        arguments=['-d', str(CONFIG / 'localize.rviz')],
        parameters=[clock],
        remappings=[(f'/{name}', name) for name in RVIZ_TOPICS],
        **common,
    )


def check_package(package, argument):
    """Reject an argument that needs a package that is not installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError as error:
        raise RuntimeError(
            f'{argument} needs the package {package}, which is not installed; install '
            f'ros-$ROS_DISTRO-{package.replace("_", "-")} or omit {argument.split(":=")[0]}'
        ) from error


def check_params_file(path):
    """Reject a file that has no parameters for the localizer."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuntimeError(
            f'params_file {path} cannot be read ({error}), expected a file of ROS parameters; give '
            'its path'
        ) from error

    nodes = node_names(content)
    if not any(name.split('/')[-1] in LOCALIZER_KEYS for name in nodes):
        found = ', '.join(nodes) or 'no node'
        raise RuntimeError(
            f'params_file {path} has parameters of {found}, expected those of localizer; put them '
            'under /**/localizer'
        )


def node_names(content, prefix=''):
    """Names that a file of parameters has parameters for, with their namespaces."""
    if not isinstance(content, dict):
        return []

    if 'ros__parameters' in content:
        return [prefix]

    return [
        name
        for key, below in content.items()
        for name in node_names(below, f'{prefix}/{str(key).lstrip("/")}')
    ]


def generate_launch_description():
    """Declare the arguments and start what they ask for."""
    declared = [
        DeclareLaunchArgument(
            name, default_value=default, description=description, choices=next(iter(choices), None)
        )
        for name, (default, description, *choices) in ARGUMENTS.items()
    ]

    return LaunchDescription([*declared, OpaqueFunction(function=start)])
