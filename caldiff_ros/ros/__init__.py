# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 node: it translates messages to and from `caldiff_ros.localization`."""
