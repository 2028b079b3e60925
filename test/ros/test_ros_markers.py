# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.frustum import frustum_edges
from caldiff_ros.localization.answer import Particles
from caldiff_ros.ros.conversions.markers import (
    answer_marker,
    camera_markers,
    error_colors,
    particle_markers,
)

#: 90 degrees wide, 2:1.
CAMERA = Camera(200, 100, 100.0, 100.0, 100.0, 50.0)
HEADER = Header(frame_id='map')


def particles(n: int, error=None) -> Particles:
    Ts = np.tile(np.eye(4), (n, 1, 1))
    Ts[:, 0, 3] = 10 * np.arange(n)
    return Particles('diffusion', 1, 2, Ts, error)


def test_frustum_of_the_identity():
    edges = frustum_edges(np.eye(4)[None], CAMERA, 2.0)
    assert edges.shape == (1, 16, 3)
    corners = {tuple(corner) for corner in edges[0].tolist()}
    assert corners == {(0, 0, 0), (-2, -1, 2), (2, -1, 2), (2, 1, 2), (-2, 1, 2)}
    lengths = sorted(np.linalg.norm(edges[0, ::2] - edges[0, 1::2], axis=-1).round(9).tolist())
    assert lengths == [2, 2, 3, 3, 3, 3, 4, 4]  # base 4 x 2, four edges from the apex


def test_frustum_moves_with_its_camera():
    T = np.array([[0, 0, 1, 1.0], [-1, 0, 0, 2], [0, -1, 0, 3], [0, 0, 0, 1]])  # looks along x
    edges = frustum_edges(T[None], CAMERA, 2.0)[0]
    np.testing.assert_allclose(edges[0], [1, 2, 3])
    base = edges[8:]
    np.testing.assert_allclose(base[:, 0], 3)  # 2 in front of the camera
    assert (base[:, 1].min(), base[:, 1].max()) == (0, 4)
    assert (base[:, 2].min(), base[:, 2].max()) == (2, 4)


def test_everything_old_goes_first_then_one_list_for_all_particles():
    markers = particle_markers(particles(3), HEADER, 0.0, CAMERA, 1.0).markers
    assert [marker.action for marker in markers] == [Marker.DELETEALL, Marker.ADD]
    lines = markers[1]
    assert (lines.type, lines.ns, lines.header.frame_id) == (Marker.LINE_LIST, 'diffusion', 'map')
    assert len(lines.points) == len(lines.colors) == 3 * 16
    assert lines.pose.orientation.w == 1 and lines.scale.x > 0


def test_best_particle_is_drawn_last_and_greenest():
    markers = particle_markers(particles(3, np.array([0.01, 1e-4, 0.5])), HEADER, 0.0, CAMERA, 1.0)
    lines = markers.markers[1]
    assert [lines.points[16 * i].x for i in range(3)] == [20, 0, 10]
    first, last = lines.colors[0], lines.colors[-1]
    assert (first.r, first.g, first.b) == (1, 0, 0)
    assert (last.r, last.g, last.b) == (0, 1, 0)


def test_colours_of_errors():
    middle = np.sqrt(1e-3 * 3e-2)  # on a logarithmic scale
    colors = error_colors(np.array([1e-3, middle, 3e-2, np.nan]), 4)
    np.testing.assert_allclose(colors[:3], [[0, 1, 0], [1, 1, 0], [1, 0, 0]], atol=1e-9)
    np.testing.assert_array_equal(colors[3], error_colors(None, 1)[0])


def test_answer_has_a_marker_of_its_own():
    marker = answer_marker(np.eye(4), HEADER, CAMERA, 1.0)
    assert (marker.ns, marker.action, len(marker.points)) == ('answer', Marker.ADD, 16)


def test_particles_live_as_long_as_they_are_told():
    lines = particle_markers(particles(1), HEADER, 2.5, CAMERA, 1.0).markers[1]
    assert (lines.lifetime.sec, lines.lifetime.nanosec) == (2, 500_000_000)


def test_training_cameras_replace_those_of_another_map():
    markers = camera_markers(particles(3).T_map_cam, HEADER, CAMERA, 1.0).markers
    assert [marker.action for marker in markers] == [Marker.DELETEALL, Marker.ADD]
    assert markers[1].ns == 'training cameras' and len(markers[1].points) == 3 * 16
