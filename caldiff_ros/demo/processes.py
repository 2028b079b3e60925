# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes of the demo as processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ament_index_python import get_package_prefix

#: Time that a process has to end after SIGINT, before it is killed.
END_S = 30.0
TOPICS = {'image': 'camera/image_raw', 'camera_info': 'camera/camera_info'}


def isolate_ros() -> None:
    """Keep this process and those that it starts to this machine and a domain of their own."""
    os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
    if os.environ.get('ROS_DISTRO') == 'humble':
        os.environ['ROS_LOCALHOST_ONLY'] = '1'
    else:
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'


def node_commands(map_folder: str, preset: str, device: str) -> list[list[str]]:
    """Commands that start the nodes: the launch file where ROS has launch, else one each."""
    settings = {'map': map_folder, 'preset': preset, 'device': device}
    if shutil.which('ros2'):
        arguments = [f'{name}:={value}' for name, value in settings.items() if value]
        launch = ['ros2', 'launch', 'caldiff_ros', 'localize.launch.py', 'demo:=true']
        return [launch + arguments]

    executables = Path(get_package_prefix('caldiff_ros')) / 'lib' / 'caldiff_ros'
    remaps = [part for name, topic in TOPICS.items() for part in ('-r', f'{name}:={topic}')]
    parameters = [
        part for name, value in settings.items() if value for part in ('-p', f'{name}:={value}')
    ]
    return [
        [str(executables / 'localizer'), '--ros-args', *remaps, *parameters],
        [str(executables / 'demo_camera'), '--ros-args', *remaps],
    ]


@contextmanager
def running(commands: list[list[str]], log: Path):
    """Run commands with their output in a file; yields the processes and ends them afterwards."""
    with ExitStack() as stack:
        output = stack.enter_context(log.open('w'))
        processes = []
        for command in commands:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            stack.callback(_end, process)
            processes.append(process)

        yield processes


def _end(process: subprocess.Popen) -> None:
    """End a process and what it started, gently first."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
