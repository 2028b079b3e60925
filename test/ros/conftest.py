# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS of these tests stays on this machine, in a domain of its own."""

import importlib.util

collect_ignore_glob = []
if importlib.util.find_spec('rclpy') is None:
    print('test/ros is skipped: rclpy is not installed; `make setup` brings it')
    collect_ignore_glob = ['test_*.py']
else:
    from caldiff_ros.ros.demo_processes import isolate_ros

    isolate_ros()
