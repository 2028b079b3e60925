# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package for pip, without ROS interfaces; everything about it is in pyproject.toml."""

from setuptools import setup

setup()
