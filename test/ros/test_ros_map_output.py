# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The points of a map, near its origin and in national coordinates."""

import types

import numpy as np
import torch
from builtin_interfaces.msg import Time

from caldiff_ros.localization.answer import CancelToken
from caldiff_ros.ros.conversions.poses import matrix_from_transform
from caldiff_ros.ros.map_output import MapOutput
from caldiff_ros.ros.parameters import LocalizerParameters
from maps import make_map

FAR = np.array([448123.0, 5411234.0, 312.0])


class Node:
    """A node whose topics are lists, by their names."""

    def __init__(self):
        self.published, self.warnings = {}, []

    def create_lifecycle_publisher(self, message, topic, qos, **_):
        return types.SimpleNamespace(publish=self.published.setdefault(topic, []).append)

    def get_clock(self):
        moment = types.SimpleNamespace(to_msg=Time)
        return types.SimpleNamespace(now=lambda: moment)

    def get_logger(self):
        return types.SimpleNamespace(warning=self.warnings.append)


class Transforms:
    """What is sent to TF, where there is one."""

    def __init__(self, there=True):
        self.there, self.static = there, []

    def send_static(self, transform):
        self.static.append(transform)
        return self.there


def published(origin, transforms):
    """Coordinates (N, 3) of the points of a map, their frame, and what was warned of."""
    torch.manual_seed(0)
    T_map_scene = np.eye(4)
    T_map_scene[:3, 3] = origin
    loaded_map = types.SimpleNamespace(
        map=make_map(T_map_scene=T_map_scene),
        frame='map',
        frustum_depth=0.1,
        parameters=LocalizerParameters(map_points=1000),
    )
    node = Node()
    MapOutput(node, transforms).make(loaded_map, CancelToken())
    [cloud] = node.published['map_points']
    xyz = np.frombuffer(bytes(cloud.data), '<f4').reshape(-1, 4)[:, :3].astype(float)
    return xyz, cloud.header.frame_id, node.warnings


def test_points_near_the_origin_are_in_the_map():
    transforms = Transforms()
    xyz, frame, _ = published(np.zeros(3), transforms)
    assert (frame, transforms.static) == ('map', [])
    assert len(xyz) > 50


def test_points_far_from_the_origin_have_a_frame_of_their_own():
    near, _, _ = published(np.zeros(3), Transforms())
    transforms = Transforms()
    xyz, frame, warnings = published(FAR, transforms)
    [transform] = transforms.static
    assert (transform.header.frame_id, transform.child_frame_id) == ('map', frame)
    assert (frame, warnings) == ('map_points', [])
    in_map = xyz + matrix_from_transform(transform.transform)[:3, 3]
    # maps made alike have the same points
    np.testing.assert_allclose(in_map - FAR, near, atol=1e-4)


def test_without_tf_they_are_coarse_and_that_is_said():
    xyz, frame, warnings = published(FAR, Transforms(there=False))
    assert frame == 'map'
    assert np.abs(xyz - FAR).max() < 10
    assert len(warnings) == 1 and 'map_points are coarse' in warnings[0]
