# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import struct

import numpy as np
from std_msgs.msg import Header

from caldiff_ros.ros.conversions.clouds import cloud_msg, cloud_origin


def test_points_and_colours_are_where_the_fields_say():
    points = np.array([[1.0, 2.0, 3.0], [-4.0, 0.5, 0.0]])
    rgb = np.array([[255, 128, 1], [0, 0, 254]], np.uint8)
    message = cloud_msg(points, rgb, Header(frame_id='map'))
    assert (message.width, message.height, message.point_step, message.row_step) == (2, 1, 16, 32)
    offsets = {field.name: field.offset for field in message.fields}
    assert offsets == {'x': 0, 'y': 4, 'z': 8, 'rgb': 12}
    assert all(f.datatype == f.FLOAT32 and f.count == 1 for f in message.fields)
    for i in range(2):
        *xyz, blue, green, red, _ = struct.unpack_from('<fffBBBB', bytes(message.data), 16 * i)
        assert xyz == points[i].tolist() and [red, green, blue] == rgb[i].tolist()


def test_no_points():
    message = cloud_msg(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), Header())
    assert (message.width, len(message.data)) == (0, 0)


def test_a_cloud_near_its_origin_stays_there():
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    for offset in (0.0, 100.0, 1000.0):
        assert not cloud_origin(points + offset).any()
    assert not cloud_origin(np.zeros((0, 3))).any()


def test_a_cloud_in_national_coordinates_is_published_about_a_point_beside_it():
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    far = points + np.array([448123.45, 5411234.56, 312.0])
    origin = cloud_origin(far)
    np.testing.assert_allclose(origin, [448123, 5411235, 312], atol=1)
    assert (origin == np.round(origin)).all()
    message = cloud_msg(far - origin, np.zeros((50, 3), np.uint8), Header())
    x = np.frombuffer(bytes(message.data), '<f4').reshape(-1, 4)[:, :3]
    np.testing.assert_allclose(x + origin, far, atol=1e-6)
