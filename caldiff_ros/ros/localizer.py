# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The executable ``localizer``."""

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
    leave_on_signals()  # before torch is imported

    import rclpy
    from rclpy.exceptions import ParameterException

    from caldiff_ros.errors import CaldiffError
    from caldiff_ros.ros.node import LocalizerNode

    rclpy.init()
    try:
        node = LocalizerNode()
    except (CaldiffError, ParameterException) as error:
        rclpy.logging.get_logger('localizer').fatal(str(error))
        return 1

    try:
        end_on_signals()
        if not node.autostart():
            return 1

        spare_the_garbage_collector()
        _serve(node)
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()

    return 0


def _serve(node) -> None:
    from rclpy.executors import SingleThreadedExecutor

    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        spin_until_end(executor)
    finally:
        node.close()  # what runs, before those who wait for it are left alone
        executor.shutdown()


if __name__ == '__main__':
    sys.exit(main())
