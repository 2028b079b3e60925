# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The executable ``demo_camera``."""

from __future__ import annotations

import sys

from caldiff_ros.ros.ending import (
    end_on_signals,
    leave_on_signals,
    spare_the_garbage_collector,
    spin_until_end,
)


def main() -> int:
    """Run the node until it is asked to end; the exit status is 0 then."""
    leave_on_signals()  # before numpy is imported

    import rclpy

    from caldiff_ros.demo.camera_node import DemoCamera
    from caldiff_ros.errors import CaldiffError

    rclpy.init()
    try:
        node = DemoCamera()
        end_on_signals()
        _serve(node)
    except CaldiffError as error:
        rclpy.logging.get_logger('demo_camera').fatal(str(error))
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


def _serve(node) -> None:
    from rclpy.executors import SingleThreadedExecutor

    spare_the_garbage_collector()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        spin_until_end(executor)
    finally:
        executor.shutdown()
        node.destroy_node()


if __name__ == '__main__':
    sys.exit(main())
