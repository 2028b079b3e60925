# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets from pictures alone: a video or photos become images with poses."""

from caldiff_ros.capture.capture import Capture
from caldiff_ros.capture.config import CaptureConfig

__all__ = ['Capture', 'CaptureConfig']
