# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A calibration that is published once, and one that a durability is asked of; over DDS."""

from demo_inputs import good_image, good_info
from node_driver import Driver, LocalizerProcess

NAMESPACE = '/latched'


def test_camera_info_published_once_before_the_node_starts_is_heard(tiny_map):
    driver = Driver(NAMESPACE)
    driver.publish_once(good_info())
    driver.image = good_image()
    process = LocalizerProcess(
        NAMESPACE,
        **{
            'map': str(tiny_map),
            'min_confidence': 0.0,
            'ambiguity_ratio': 1.0,
            'map_points': 0,
            f'qos_overrides.{NAMESPACE}/image.subscription.durability': 'volatile',
        },
    )
    try:
        driver.wait(lambda: driver.received['pose'], 90)
        assert driver.get(f'qos_overrides.{NAMESPACE}/image.subscription.durability') == 'volatile'
        assert 'offers another' not in process.log  # no false alarm about the other publishers
    finally:
        driver.close()
        process.end()
