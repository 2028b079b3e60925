# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checks whether a capture is suitable for a map, from its images, before anything is trained."""

from caldiff_ros.scenes.checking.check import ConventionRule, check_capture, with_convention
from caldiff_ros.scenes.checking.report import CaptureReport, Finding

__all__ = ['CaptureReport', 'ConventionRule', 'Finding', 'check_capture', 'with_convention']
