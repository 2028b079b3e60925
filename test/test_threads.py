# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How PyTorch's threads wait for work, which is settled before it is loaded."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ('environment', 'expected'),
    [
        ({}, '10000'),
        ({'GOMP_SPINCOUNT': '7'}, '7'),
        ({'OMP_WAIT_POLICY': 'ACTIVE'}, 'None'),
    ],
    ids=['by default', 'chosen', 'policy chosen'],
)
def test_threads_that_wait_leave_their_cores_soon(environment, expected):
    """Unless the user decided otherwise."""
    others = {
        name: value
        for name, value in os.environ.items()
        if name not in {'GOMP_SPINCOUNT', 'OMP_WAIT_POLICY'}
    }
    code = 'import os, caldiff_ros; print(os.environ.get("GOMP_SPINCOUNT"))'
    result = subprocess.run(
        [sys.executable, '-c', code],
        env=others | environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout.strip() == expected
