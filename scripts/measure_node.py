# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure a running node: latencies of its answers, and its memory.

usage: python scripts/measure_node.py [REQUESTS [MAP]], after `make setup`, in its environment

The images are those of the demo, and the map is the shipped one unless another is given.

Prints how much longer than the localization the service takes, how soon a second request is told
that the node is busy, how soon a cancelled goal has ended, and the resident memory after a tenth of
the requests (300 unless given) and after all of them. Before all that, how much of a core the node
takes while images arrive at 100 Hz and nothing is localized.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / 'test/ros'))

from caldiff_ros.demo.processes import isolate_ros

isolate_ros()

from demo_inputs import IMAGES, good_image, good_info  # noqa: E402
from node_driver import Driver, LocalizerProcess  # noqa: E402

_CANCELLED, _BUSY_PER_GOAL = 10, 3
_FAST_PERIOD_S, _IDLE_S = 0.01, 10.0


def seconds(action) -> float:
    """How long an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def idle_share(process: LocalizerProcess) -> float:
    """Share of a core that the node takes while images only arrive."""
    camera = Driver(period_s=_FAST_PERIOD_S)
    camera.image, camera.info = good_image(), good_info()
    camera.wait_for_node(process)
    camera.wait(lambda: camera.received['map_points'])  # nothing is drawn any more
    before_s, start_s = process.cpu_s(), time.perf_counter()
    time.sleep(_IDLE_S)
    share = (process.cpu_s() - before_s) / (time.perf_counter() - start_s)
    camera.close()
    return share


def localized(driver: Driver) -> tuple[float, float]:
    """Seconds of one request, and those of the localization itself."""
    driver.forget()
    took = seconds(driver.relocalize)
    # the overlay is drawn after the answer, and would delay the next request
    driver.wait(lambda: driver.received['localization'] and driver.received['overlay'])
    return took, sum(driver.received['localization'][-1].stage_seconds)


def busy_and_cancelled(driver: Driver, rng: random.Random) -> tuple[list[float], float]:
    """Seconds until requests beside a goal are refused, and until that goal has been cancelled."""
    handle = driver.send_goal([])
    time.sleep(0.1)
    refused = []
    for _ in range(_BUSY_PER_GOAL):
        refused.append(seconds(driver.relocalize))
        time.sleep(0.5 * rng.random())

    result = handle.get_result_async()
    return refused, seconds(lambda: (handle.cancel_goal_async(), driver.result(result)))


def main(n_requests: int = 300, **parameters: str) -> None:
    """Print the figures."""
    process, rng = LocalizerProcess(localize_on_start=False, **parameters), random.Random(0)
    print(f'idle: {100 * idle_share(process):.1f} % of a core, with images at 100 Hz')
    driver = Driver()
    driver.image, driver.info = good_image(), good_info()
    driver.wait_for_node(process)
    localized(driver)  # warm up
    gc.collect()
    gc.freeze()  # looking for garbage would halt this side of the measurement for 0.2 s
    refused, cancelled = [], []
    for _ in range(_CANCELLED):
        some, last = busy_and_cancelled(driver, rng)
        refused += some
        cancelled.append(last)

    overhead, memory_mb = [], []
    for i in range(n_requests):
        driver.image = good_image(i % len(IMAGES))
        took, inside = localized(driver)
        overhead.append(took - inside)
        if i + 1 in (n_requests // 10, n_requests):
            memory_mb.append(process.memory_mb())

    driver.close()
    process.end()
    print(f'busy answer: {max(refused):.3f} s at most, of {len(refused)}')
    print(f'cancelled: {max(cancelled):.3f} s at most, of {len(cancelled)}')
    overhead.sort()
    print(
        f'service beyond the localization: median {overhead[len(overhead) // 2]:.3f} s, '
        f'{overhead[-1]:.3f} s at most, of {len(overhead)}'
    )
    first, last = memory_mb
    print(
        f'memory: {first:.0f} MB after {n_requests // 10} requests, {last:.0f} MB after '
        f'{n_requests} ({100 * (last / first - 1):+.1f} %)'
    )


if __name__ == '__main__':
    main(*map(int, sys.argv[1:2]), **dict(zip(['map'], sys.argv[2:3], strict=False)))
