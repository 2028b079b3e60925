# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The executable ``demo``: held-out images through the localizer node, over DDS.

Starts the localizer and the demo camera as processes, shows one image after the other, calls
``relocalize`` and compares the pose that the node publishes with the true one.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import rclpy
import tyro
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rich.console import Console

from caldiff_ros.console import plain_console
from caldiff_ros.demo.client import LOCALIZATION_TIMEOUT_S, DemoClient, Received
from caldiff_ros.demo.data import DemoImage, read_demo, shipped_folder
from caldiff_ros.demo.figure import save_convergence
from caldiff_ros.demo.processes import TOPICS, isolate_ros, node_commands, running
from caldiff_ros.demo.results import compare, results_table, save_results, verdict
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.answer import Status
from caldiff_ros.ros.conversions.images import image_to_rgb
from caldiff_ros.ros.loaded_map import map_path
from caldiff_ros.ros.parameters import LocalizerParameters

START_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class DemoOptions:
    """Localize the held-out images of the demo through the ROS 2 node."""

    output: Path = Path('outputs/demo')
    """Folder for pictures, results.json and the log of the nodes."""
    map: str = ''
    """Map folder; empty for the shipped one."""
    preset: str = ''
    """Preset of the localizer; empty for its default."""
    device: str = ''
    """Device of the localizer; empty for its default."""
    images: int = 0
    """How many images to localize; 0 for all."""


def run(options: DemoOptions, console: Console) -> bool:
    """Run the demo; whether the poses were right."""
    unit = LocalizationMap.load(map_path(LocalizerParameters(map=options.map))).unit
    camera, images = read_demo(shipped_folder())
    options.output.mkdir(parents=True, exist_ok=True)
    log = options.output / 'nodes.log'
    commands = node_commands(options.map, options.preset, options.device)
    console.print(f'starting the localizer and the demo camera, their log is {log}')
    results = []

    with running(commands, log) as processes, _client() as client:
        _wait_for_nodes(client, processes, log)
        first = client.wait_for_localization(set(), LOCALIZATION_TIMEOUT_S).localization
        console.print(f'at start: {first.message}')

        for i, image in enumerate(images[: options.images or None]):
            client.show_image(i)
            received, seconds = client.relocalize()
            results.append(compare(image, received.pose, unit=unit, seconds=seconds))
            _save_pictures(received, image, camera, output=options.output, with_figure=i == 0)
            status = Status(received.localization.status).name
            console.print(f'{image.path.name}: {status} in {seconds:.1f} s')

    right, sentence = verdict(results)
    console.print(results_table(results))
    console.print(f'{"right" if right else "WRONG"}: {sentence}')
    save_results(results, right, options.output / 'results.json')
    console.print(f'pictures and results.json are in {options.output}')
    return right


@contextmanager
def _client():
    """The client node with a thread that serves it."""
    remaps = [part for name, topic in TOPICS.items() for part in ('-r', f'{name}:={topic}')]
    rclpy.init(args=['--ros-args', *remaps])
    client = DemoClient()

    executor = SingleThreadedExecutor()
    executor.add_node(client)
    thread = threading.Thread(target=_spin, args=(executor,), daemon=True)
    thread.start()

    try:
        yield client
    finally:
        rclpy.try_shutdown()
        thread.join()


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        return


def _wait_for_nodes(client: DemoClient, processes: list[subprocess.Popen], log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not client.ready():
        ended = any(process.poll() is not None for process in processes)
        if ended or time.monotonic() > deadline_s:
            tail = ' | '.join(log.read_text(errors='replace').splitlines()[-3:])
            what = 'a node ended' if ended else f'the nodes were not ready in {START_TIMEOUT_S:g} s'
            raise CaldiffError(f'{what}, expected both to run; {log} ends with: {tail}')

        time.sleep(0.1)


def _save_pictures(
    received: Received, image: DemoImage, camera: Camera, output: Path, with_figure: bool
) -> None:
    if received.overlay is not None:
        bgr = cv2.cvtColor(image_to_rgb(received.overlay), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(output / f'overlay_{image.path.stem}.png'), bgr)

    if with_figure and received.markers:
        path = output / 'particles.png'
        save_convergence(received.markers, image.T_map_cam, camera, path=path)


def _console() -> Console:
    console = plain_console()
    return (
        console if console.is_terminal else plain_console(width=110)
    )  # room for the table in a log


def main() -> int:
    """Exit status 0 only if the poses are right."""
    options = tyro.cli(DemoOptions)
    isolate_ros()
    try:
        return 0 if run(options, _console()) else 1
    except CaldiffError as error:
        print(f'demo: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == '__main__':
    sys.exit(main())
