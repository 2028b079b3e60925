# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets from pictures alone: a video or photos become images with poses.

`caldiff_ros.capture.capture.Capture` is the whole of it. Nothing is imported here, as the process
of COLMAP starts without it.
"""
