# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the localizer, and on request RViz and the demo camera."""

from pathlib import Path

from ament_index_python import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = Path(get_package_share_directory('caldiff_ros'))

ARGUMENTS = {
    'map': ('', 'folder made by `caldiff build-map`; empty for the map that ships'),
    'image': ('/camera/image_raw', 'topic of the images'),
    'camera_info': ('/camera/camera_info', 'topic of their calibration'),
    'preset': ('', 'preset of the localizer; empty for that of config/localize.yaml'),
    'device': ('', 'auto, cpu or cuda; empty for that of config/localize.yaml'),
    'rviz': ('false', 'start RViz with the shipped configuration'),
    'demo': ('false', 'start a camera that shows held-out images of the shipped map'),
}


def start_localizer(context):
    """The localizer with config/localize.yaml and, over it, the arguments that were given."""
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    given = {
        name: ParameterValue(values[name], value_type=str)
        for name in ('map', 'preset', 'device')
        if values[name]
    }
    what = f'map {values["map"]}' if values['map'] else 'the shipped map of diorama_room'
    localizer = Node(
        package='caldiff_ros',
        executable='localizer',
        name='localizer',
        output='screen',
        emulate_tty=True,
        parameters=[str(SHARE / 'config' / 'localize.yaml'), *([given] if given else [])],
        remappings=[(name, values[name]) for name in ('image', 'camera_info')],
    )
    message = f'caldiff_ros: {what}, waiting for images on {values["image"]}'
    return [LogInfo(msg=message), localizer]


def generate_launch_description():
    """Declare the arguments and start what they ask for."""
    topics = [(name, LaunchConfiguration(name)) for name in ('image', 'camera_info')]
    return LaunchDescription(
        [
            DeclareLaunchArgument(name, default_value=default, description=description)
            for name, (default, description) in ARGUMENTS.items()
        ]
        + [
            OpaqueFunction(function=start_localizer),
            Node(
                package='caldiff_ros',
                executable='demo_camera',
                name='demo_camera',
                output='screen',
                remappings=topics,
                condition=IfCondition(LaunchConfiguration('demo')),
            ),
            Node(
                package='rviz2',
                executable='rviz2',
                name='rviz2',
                arguments=['-d', str(SHARE / 'config' / 'localize.rviz')],
                condition=IfCondition(LaunchConfiguration('rviz')),
            ),
        ]
    )
