# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Particles and the answer as RViz markers: camera frustums coloured by photometric error."""

from __future__ import annotations

import math

import numpy as np
from geometry_msgs.msg import Point
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.frustum import frustum_edges
from caldiff_ros.localization.answer import Particles

#: Photometric errors at the green and the red end of the colours: the largest robust one is red.
GREEN_ERROR = 1e-3
RED_ERROR = 3e-2
#: Particles whose error is not known yet.
GREY = (0.6, 0.6, 0.6)
ANSWER_COLOR = (0.1, 0.5, 1.0)
TRAINING_COLOR = (0.45, 0.55, 0.7)


def error_colors(photometric_error: np.ndarray | None, n: int) -> np.ndarray:
    """Colours (n, 3) in 0..1 of ``n`` errors: green over yellow to red on a logarithmic scale."""
    if photometric_error is None:
        return np.tile(GREY, (n, 1))

    clipped = np.clip(photometric_error, GREEN_ERROR, RED_ERROR)
    t = np.log(clipped / GREEN_ERROR) / math.log(RED_ERROR / GREEN_ERROR)
    colors = np.stack([np.minimum(1, 2 * t), np.minimum(1, 2 - 2 * t), np.zeros(n)], axis=-1)
    return np.where(np.isfinite(t)[:, None], colors, GREY)


def frustum_marker(
    T_map_cam: np.ndarray, colors: np.ndarray, header: Header, namespace: str, **shape
) -> Marker:
    """One LINE_LIST with a frustum per pose.

    Args:
        T_map_cam: poses (P, 4, 4).
        colors: (P, 3) in 0..1.
        header: stamp and frame of the marker.
        namespace: shown by RViz, one per stage.
        shape: ``camera`` and ``depth`` of `frustum_edges`.
    """
    marker = Marker(header=header, ns=namespace, type=Marker.LINE_LIST, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = 0.04 * shape['depth']  # width of a line

    edges = frustum_edges(np.asarray(T_map_cam), **shape)
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in edges.reshape(-1, 3).tolist()]
    for red, green, blue in colors.tolist():
        marker.colors += [ColorRGBA(r=red, g=green, b=blue, a=1.0)] * edges.shape[1]

    return marker


def particle_markers(
    particles: Particles, header: Header, lifetime_s: float, camera: Camera, depth: float
) -> MarkerArray:
    """The particles of a step in place of everything shown before; worst first, best on top.

    Args:
        particles: to show.
        header: stamp and frame of the markers.
        lifetime_s: after which they disappear; 0 for never.
        camera: gives the opening angles.
        depth: see `frustum_edges`.
    """
    T_map_cam = particles.T_map_cam
    error = particles.photometric_error
    if error is not None:
        order = np.argsort(-error)
        T_map_cam = T_map_cam[order]
        error = error[order]

    colors = error_colors(error, len(T_map_cam))
    marker = frustum_marker(
        T_map_cam, colors, header, namespace=particles.stage, camera=camera, depth=depth
    )
    marker.lifetime = Duration(seconds=lifetime_s).to_msg()
    return MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL), marker])


def answer_marker(T_map_cam: np.ndarray, header: Header, camera: Camera, depth: float) -> Marker:
    """A larger blue frustum at the answer (4, 4)."""
    marker = frustum_marker(
        T_map_cam[None],
        np.array([ANSWER_COLOR]),
        header,
        namespace='answer',
        camera=camera,
        depth=2 * depth,
    )
    marker.id = 1
    return marker


def camera_markers(
    T_map_cam: np.ndarray, header: Header, camera: Camera, depth: float
) -> MarkerArray:
    """The training cameras (V, 4, 4) of a map, half as large, in place of those shown before."""
    colors = np.tile(TRAINING_COLOR, (len(T_map_cam), 1))
    marker = frustum_marker(
        T_map_cam, colors, header, namespace='training cameras', camera=camera, depth=depth / 2
    )
    return MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL), marker])
