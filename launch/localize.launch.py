# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the localizer, and on request RViz, a bag or the demo camera."""

from pathlib import Path

from ament_index_python import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(get_package_share_directory('caldiff_ros'))
CONFIG = SHARE / 'config'
FLAGS = ('true', 'false', 'True', 'False')

#: Default, description, and the accepted values where there are few.
ARGUMENTS = {
    'map': ('', 'folder made by `caldiff build-map`; empty for the map that ships'),
    'image': ('/camera/image_raw', 'topic of the images; compressed ones are at IMAGE/compressed'),
    'camera_info': ('/camera/camera_info', 'topic of their calibration'),
    'preset': ('', 'preset of the localizer; empty for that of params_file'),
    'device': ('', 'auto, cpu or cuda; empty for that of params_file'),
    'namespace': ('', 'namespace of the nodes'),
    'params_file': (str(CONFIG / 'localize.yaml'), 'parameters of the localizer'),
    'use_sim_time': ('false', 'take the time from /clock; true with a bag', FLAGS),
    'rviz': ('false', 'start RViz with the shipped configuration', FLAGS),
    'bag': ('', 'bag to play, with its clock'),
    'demo': ('false', 'start a camera that shows held-out images of the shipped map', FLAGS),
}


def start(context):
    """What the arguments ask for."""
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    flags = {name: value.lower() == 'true' for name, value in values.items()}
    simulated = flags['use_sim_time'] or bool(values['bag'])
    common = {'namespace': values['namespace'], 'output': 'screen', 'emulate_tty': True}
    clock = {'use_sim_time': simulated}
    topics = [(name, values[name]) for name in ('image', 'camera_info')]
    given = {
        name: ParameterValue(values[name], value_type=str)
        for name in ('map', 'preset', 'device')
        if values[name]
    }
    what = f'map {values["map"]}' if values['map'] else 'the shipped map of diorama_room'
    actions = [
        LogInfo(msg=f'caldiff_ros: {what}, waiting for images on {values["image"]}'),
        Node(
            package='caldiff_ros',
            executable='localizer',
            name='localizer',
            parameters=[values['params_file'], {**given, **clock}],
            remappings=topics,
            **common,
        ),
    ]
    if flags['demo']:
        actions.append(
            Node(
                package='caldiff_ros',
                executable='demo_camera',
                name='demo_camera',
                parameters=[clock],
                remappings=topics,
                **common,
            )
        )
    if flags['rviz']:
        shown = ('particle_markers', 'map_cameras', 'map_points', 'particles', 'overlay')
        actions.append(
            Node(
                package='rviz2',
                executable='rviz2',
                name='rviz2',
                arguments=['-d', str(CONFIG / 'localize.rviz')],
                parameters=[clock],
                # the configuration has absolute names; these bring them into the namespace
                remappings=[
                    (f'/{name}', name) for name in (*shown, 'pose_with_covariance', 'initialpose')
                ],
                **common,
            )
        )
    if values['bag']:
        command = ['ros2', 'bag', 'play', values['bag'], '--clock']
        actions.append(ExecuteProcess(cmd=command, output='screen'))
    return actions


def generate_launch_description():
    """Declare the arguments and start what they ask for."""
    declared = [
        DeclareLaunchArgument(
            name, default_value=default, description=description, choices=next(iter(choices), None)
        )
        for name, (default, description, *choices) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
