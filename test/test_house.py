# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package as a whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import caldiff_ros

PACKAGE = Path(caldiff_ros.__file__).parent
HEADER = [
    '# Copyright 2026 The caldiff_ros authors',
    '# SPDX-License-Identifier: Apache-2.0',
]
#: Imports every module outside the node and the demo where ROS and nerfstudio cannot be imported.
IMPORT_CORE = """
import importlib, pkgutil, sys
for name in ('rclpy', 'sensor_msgs', 'geometry_msgs', 'std_msgs', 'ament_index_python',
             'nerfstudio', 'cv_bridge', 'rosbags'):
    sys.modules[name] = None
import caldiff_ros
skipped = ('caldiff_ros.ros', 'caldiff_ros.demo', 'caldiff_ros.msg', 'caldiff_ros.action')
def walk(package):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):
        if module.name in skipped or module.name.endswith('__main__') or '_s__' in module.name:
            continue
        imported = importlib.import_module(module.name)
        print(module.name)
        if module.ispkg:
            walk(imported)
walk(caldiff_ros)
"""


def test_core_imports_without_ros_and_nerfstudio():
    result = subprocess.run(
        [sys.executable, '-c', IMPORT_CORE], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert result.returncode == 0, result.stderr
    assert 'caldiff_ros.geometry.camera' in result.stdout.split()


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, caldiff_ros; print('torch' in sys.modules, 'rclpy' in sys.modules)"
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert result.stdout.split() == ['False', 'False']


def test_every_source_file_carries_the_licence():
    generated = ('action', 'msg')
    sources = [
        path
        for path in PACKAGE.rglob('*.py')
        if path.relative_to(PACKAGE).parts[0] not in generated
    ]
    assert len(sources) > 20
    for path in sources:
        lines = path.read_text().splitlines()
        assert lines[:2] == HEADER, path


def test_every_console_prints_names_as_they_are():
    sources = [path for path in PACKAGE.rglob('*.py') if path.name != 'console.py']
    with_markup = [path.name for path in sources if re.search(r'\bConsole\(', path.read_text())]
    assert not with_markup, 'use caldiff_ros.console.plain_console'


#: Prints which of our packages a module loads.
LOADED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*{name.split('.')[1] for name in sys.modules if name.startswith('caldiff_ros.')})
"""


@pytest.mark.parametrize('module', ['caldiff_ros.localization', 'caldiff_ros.ros.node'])
def test_a_robot_loads_neither_trainers_nor_dataset_readers(module):
    if module.startswith('caldiff_ros.ros'):
        pytest.importorskip('rclpy')
    result = subprocess.run(
        [sys.executable, '-c', LOADED, module], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert {'localization', 'nerf', 'diffusion'} <= loaded
    assert not loaded & {'mapping', 'scenes', 'evaluation', 'baselines', 'cli', 'demo'}
