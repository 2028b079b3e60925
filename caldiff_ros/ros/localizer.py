# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The executable ``localizer``."""

from __future__ import annotations

import gc
import signal
import sys


def _end(*_) -> None:
    sys.exit(0)


def main() -> int:
    """Run the node until it is asked to end; the exit status is 0 then."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also while torch and the map are loading
        signal.signal(number, _end)
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
        if not node.autostart():
            return 1
        # the libraries are 400,000 objects, and a look through them for garbage halts all threads
        # for 0.2 s
        gc.collect()
        gc.freeze()
        _spin(node)
    finally:
        node.close()
    return 0


def _spin(node) -> None:
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException, SystemExit):
        pass
    finally:
        node.close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    sys.exit(main())
