# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS of these tests stays on this machine, in a domain of its own."""

import importlib.util

import pytest

collect_ignore_glob = []
if importlib.util.find_spec('rclpy') is None:
    print('test/ros is skipped: rclpy is not installed; `make setup` brings it')
    collect_ignore_glob = ['test_*.py']
else:
    from caldiff_ros.demo.processes import isolate_ros

    isolate_ros()


@pytest.fixture(scope='session')
def tiny_map(tmp_path_factory):
    """A map of nothing, 12x9 pixels: any image is localized in it in a fraction of a second."""
    from dataclasses import replace

    import torch

    from caldiff_ros.geometry import Camera
    from maps import make_map

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('maps') / 'tiny'
    replace(make_map(), name='tiny', camera=Camera(12, 9, 15.0, 15.0, 6.0, 4.5)).save(folder)
    return folder


@pytest.fixture(scope='module')
def localizer(tiny_map, request):
    """One process for a module, with the tiny map and whatever its ``PARAMETERS`` say.

    Every pose is trusted in it: LOCALIZED means that a localization ran to its end.
    """
    from node_driver import LocalizerProcess

    given = {
        'map': tiny_map,
        'particles': 4,
        'min_confidence': 0.0,
        'ambiguity_ratio': 1.0,
        'localize_on_start': False,
        'image_timeout': 1.5,
        'map_points': 500,
        **getattr(request.module, 'PARAMETERS', {}),
    }
    process = LocalizerProcess(**{k: str(v) for k, v in given.items()})
    yield process
    if process.poll() is None:
        process.end()


@pytest.fixture(scope='module')
def module_driver(localizer):
    from node_driver import Driver

    driver = Driver()
    driver.wait_for_node(localizer)
    yield driver
    driver.close()


@pytest.fixture
def driver(module_driver):
    """Nothing received yet, a good camera."""
    from demo_inputs import good_image, good_info

    driver = module_driver
    driver.image, driver.info = good_image(), good_info()
    driver.forget()
    return driver
