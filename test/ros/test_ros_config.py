# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import importlib.util
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from ament_index_python import get_package_share_directory

from caldiff_ros.docstrings import field_docstrings
from caldiff_ros.ros.parameters import LocalizerParameters

SHARE = Path(get_package_share_directory('caldiff_ros'))


def test_every_parameter_is_explained():
    docs = field_docstrings(LocalizerParameters)
    assert set(docs) == {field.name for field in fields(LocalizerParameters)}
    assert docs['torch_threads'].startswith('Number of CPU threads; 0 for one per core')


def test_shipped_parameter_file_has_every_parameter_at_its_default():
    content = yaml.safe_load((SHARE / 'config/localize.yaml').read_text())
    values = content['/**/localizer']['ros__parameters']
    defaults = {field.name: field.default for field in fields(LocalizerParameters)}
    assert values == defaults
    assert {k: type(v) for k, v in values.items()} == {k: type(v) for k, v in defaults.items()}


def test_rviz_shows_what_the_node_publishes():
    content = yaml.safe_load((SHARE / 'config/localize.rviz').read_text())['Visualization Manager']
    shown = {
        (display['Class'].removeprefix('rviz_default_plugins/'), display['Topic']['Value'])
        for display in content['Displays']
        if 'Topic' in display
    }
    assert shown == {
        ('MarkerArray', '/particle_markers'),
        ('MarkerArray', '/map_cameras'),
        ('PointCloud2', '/map_points'),
        ('PoseArray', '/particles'),
        ('PoseWithCovariance', '/pose_with_covariance'),
        ('Image', '/overlay'),
    }
    for display in content['Displays']:
        if 'Topic' in display:
            assert display['Topic']['Durability Policy'] == 'Transient Local'
    classes = {display['Class'] for display in content['Displays']}
    assert {'rviz_default_plugins/TF', 'rviz_default_plugins/Grid'} <= classes
    tools = {tool['Class'] for tool in content['Tools']}
    assert 'rviz_default_plugins/SetInitialPose' in tools
    assert content['Global Options']['Fixed Frame'] == 'map'


@pytest.mark.skipif(
    importlib.util.find_spec('launch_ros') is None,
    reason='launch_ros cannot be imported: it is not on PyPI, a ROS distribution has it',
)
def test_launch_file_declares_its_arguments():
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(
        str(SHARE / 'launch/localize.launch.py')
    )
    names = [e.name for e in description.entities if isinstance(e, DeclareLaunchArgument)]
    assert names == [
        'map', 'image', 'camera_info', 'preset', 'device', 'namespace', 'params_file',
        'use_sim_time', 'rviz', 'bag', 'demo',
    ]  # fmt: skip
    context = LaunchContext()
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.visit(context)
    assert context.launch_configurations['image'] == 'camera/image_raw'
