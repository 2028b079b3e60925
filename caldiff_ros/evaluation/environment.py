# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a measurement was made with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

_PACKAGES = ('caldiff_ros', 'torch', 'torchvision', 'numpy', 'opencv-python-headless')


def hardware(device: str = 'cpu') -> dict[str, str | int]:
    """Processor, cores that may be used, and the GPU if the device is one."""
    description: dict[str, str | int] = {
        'cpu': _cpu_name(),
        'cores': len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count() or 1,
        'torch_threads': torch.get_num_threads(),
        'device': device,
    }
    if device.startswith('cuda'):
        description['gpu'] = torch.cuda.get_device_name(device)

    return description


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide results; absent ones are left out."""
    found = {'python': platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue

    return found


def commit() -> str | None:
    """The git commit of the checkout that this package lies in, None outside of one."""
    command = ['git', '-C', str(Path(__file__).parent), 'describe', '--always', '--dirty']
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None

    return found.stdout.strip() or None


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()
