# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""examples/relocalize_client.py beside a running localizer."""

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[2] / 'examples/relocalize_client.py'


def run_client() -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(CLIENT)], capture_output=True, text=True, timeout=120
    )


def test_service_and_action_answer_the_client(driver):
    result = run_client()
    assert result.returncode == 0, result.stderr
    service, *progress, message, camera = result.stdout.splitlines()
    # in the tiny map every pose is trusted
    assert service.startswith('service: The pose in tiny has confidence ')
    assert message.startswith('action: The pose in tiny has confidence ')
    stages = [line.split()[1] for line in progress]
    assert {'diffusion,', 'refinement,'} <= set(stages)

    [pose] = [m.pose for m in driver.received['pose'][-1:]]
    told = [float(number) for number in re.findall(r'-?\d+\.\d+', camera)]
    published = [pose.position.x, pose.position.y, pose.position.z]
    assert told == [float(f'{coordinate:.3f}') for coordinate in published]
