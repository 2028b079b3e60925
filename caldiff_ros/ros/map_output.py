# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node publishes of the map itself."""

from __future__ import annotations

import numpy as np
import torch
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from caldiff_ros.geometry import Pose
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.answer import Cancelled, CancelToken
from caldiff_ros.nerf.surface import surface_points
from caldiff_ros.ros.conversions.clouds import cloud_msg, cloud_origin
from caldiff_ros.ros.conversions.markers import camera_markers
from caldiff_ros.ros.conversions.poses import transform_stamped
from caldiff_ros.ros.latched import latched_publisher
from caldiff_ros.ros.loaded_map import LoadedMap
from caldiff_ros.ros.problems import describe_exception
from caldiff_ros.ros.tf import TransformOutput


class MapOutput:
    """Topics ``map_cameras`` and ``map_points``: the map itself, for people.

    The points of a map far from its origin are published in a frame of their own, ``MAP_points``,
    which TF puts beside them: their messages hold single precision.

    Args:
        node: publishes, while it is active.
        tf: sends where that frame is.
    """

    def __init__(self, node: LifecycleNode, tf: TransformOutput) -> None:
        self._clock = node.get_clock()
        self._log = node.get_logger()
        self._tf = tf
        self._cameras = latched_publisher(node, MarkerArray, 'map_cameras')
        self._points = latched_publisher(node, PointCloud2, 'map_points')
        self._cameras_msg: MarkerArray | None = None
        self._points_msg: PointCloud2 | None = None

    @property
    def publishers(self) -> list:
        """All of them."""
        return [self._cameras, self._points]

    def try_to_make(self, loaded_map: LoadedMap, cancel: CancelToken) -> None:
        """`make`, in the worker's thread: no picture is a reason to warn, and no more."""
        try:
            self.make(loaded_map, cancel)
        except Cancelled:
            return
        except Exception as error:
            self._log.warning(f'the map is not shown: {describe_exception(error)}')

    def make(self, loaded_map: LoadedMap, cancel: CancelToken) -> None:
        """Compute and publish what a map looks like, in a few seconds at most.

        Raises:
            Cancelled: if ``cancel`` was used.
        """
        localization_map = loaded_map.map
        header = Header(frame_id=loaded_map.frame, stamp=self._clock.now().to_msg())

        self._cameras_msg = camera_markers(
            localization_map.to_map(localization_map.training_cameras),
            header,
            localization_map.camera,
            depth=loaded_map.frustum_depth,
        )
        self._points_msg = None
        self.show()

        if loaded_map.parameters.map_points > 0:
            points_norm, rgb = surface_points(
                localization_map.field,
                localization_map.training_cameras.to(localization_map.field.aabb.device),
                localization_map.camera,
                n_points=loaded_map.parameters.map_points,
                check=cancel.raise_if_cancelled,
            )
            cancel.raise_if_cancelled()  # what was drawn too late belongs to another map
            points = _points_map(localization_map, points_norm)
            self._points_msg = self._cloud(points, rgb, header)
            self.show()

    def _cloud(self, points: np.ndarray, rgb: np.ndarray, header: Header) -> PointCloud2:
        """The message of points (N, 3) in the map."""
        origin = cloud_origin(points)
        if not origin.any():
            return cloud_msg(points, rgb, header)

        T_map_points = np.eye(4)
        T_map_points[:3, 3] = origin
        frame = f'{header.frame_id}_points'
        if self._tf.send_static(transform_stamped(T_map_points, header, frame)):
            header = Header(frame_id=frame, stamp=header.stamp)
            return cloud_msg(points - origin, rgb, header)

        self._log.warning(
            'the points on map_points are coarse, because the map is far from its origin and, '
            'without tf2_ros, they cannot have a frame of their own'
        )
        return cloud_msg(points, rgb, header)

    def show(self) -> None:
        """Publish what there is, again after an activation."""
        if self._cameras_msg is not None:
            self._cameras.publish(self._cameras_msg)

        if self._points_msg is not None:
            self._points.publish(self._points_msg)


def _points_map(localization_map: LocalizationMap, points_norm: np.ndarray) -> np.ndarray:
    """Points (N, 3) of the field's coordinates in the map."""
    R = torch.eye(3).expand(len(points_norm), 3, 3)
    return localization_map.to_map(Pose(R, torch.from_numpy(points_norm)))[:, :3, 3]
