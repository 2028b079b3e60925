# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Priors from messages, and the last pose on disk as a prior after a restart."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.impl.rcutils_logger import RcutilsLogger

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry.transforms import mounted_camera
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.answer import Answer
from caldiff_ros.localization.prior import Prior
from caldiff_ros.ros.conversions.poses import pose_from_msg
from caldiff_ros.ros.lifecycle import present
from caldiff_ros.ros.loaded_map import LoadedMap

#: Largest deviation from 1 of the norm of a quaternion that is no mistake, as in AMCL.
QUATERNION_TOLERANCE = 1e-2
#: Least deviation of a saved pose: the robot may have been pushed (normalized units, degrees).
_SAVED_DEVIATION_NORM = 0.05
_SAVED_DEVIATION_DEG = 10.0


def prior_from_msg(
    message: PoseWithCovarianceStamped, map_frame: str, T_base_cam: np.ndarray
) -> Prior:
    """The prior in a message.

    Args:
        message: pose of the base, or of the camera, in the map.
        map_frame: frame that it must be given in.
        T_base_cam: mounting of the optical camera, (4, 4); the identity for a pose of the camera.

    Raises:
        CaldiffError: if the message is not finite, in another frame, or no pose and covariance.
    """
    frame = message.header.frame_id
    if frame.lstrip('/') != map_frame:
        raise CaldiffError(
            f'the prior is in frame {frame!r}, expected {map_frame!r}; transform it, or set the '
            'fixed frame of the tool that publishes it'
        )

    q = message.pose.pose.orientation
    norm = float(np.linalg.norm([q.x, q.y, q.z, q.w]))
    if not abs(norm - 1) <= QUATERNION_TOLERANCE:  # also if it is NaN
        raise CaldiffError(
            f'the quaternion of the prior has norm {norm:g}, expected 1; normalize it'
        )

    covariance = np.asarray(message.pose.covariance, dtype=np.float64).reshape(6, 6)
    T_map_base = pose_from_msg(message.pose.pose)
    return Prior(*mounted_camera(T_map_base, covariance, T_base_cam))


def save_pose(path: Path, answer: Answer, localization_map: LocalizationMap) -> None:
    """Keep the pose of a localized answer; a crash leaves the old file or the new one.

    Raises:
        OSError: if the file cannot be written.
    """
    content = {
        'map': localization_map.name,
        'T_map_cam': present(answer.T_map_cam).tolist(),
        'covariance': present(answer.covariance).tolist(),
    }

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.partial')
    with partial.open('w') as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())

    partial.replace(path)


def read_saved_pose(path: Path, localization_map: LocalizationMap) -> Prior | None:
    """The saved pose as a prior; None if there is none, or it is of another map.

    Raises:
        CaldiffError: if the file is damaged.
    """
    try:
        content = json.loads(path.read_text())
        if content['map'] != localization_map.name:
            return None

        T_map_cam, covariance = (
            np.array(content[name], dtype=np.float64) for name in ('T_map_cam', 'covariance')
        )
        if T_map_cam.shape != (4, 4) or covariance.shape != (6, 6):
            raise ValueError(f'shapes {T_map_cam.shape} and {covariance.shape}')

        deviation = np.repeat(
            [_SAVED_DEVIATION_NORM * localization_map.unit, np.radians(_SAVED_DEVIATION_DEG)], 3
        )

        return Prior(T_map_cam, covariance + np.diag(deviation**2))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CaldiffError(
            f'{path} holds no saved pose ({error}), expected what the node wrote; delete it'
        ) from error


def prior_of_the_start(loaded_map: LoadedMap, log: RcutilsLogger) -> Prior | None:
    """The pose that was saved before a restart, if it is asked for; a damaged file is logged."""
    if not loaded_map.parameters.saved_pose_path:
        return None

    path = Path(loaded_map.parameters.saved_pose_path).expanduser()
    try:
        prior = read_saved_pose(path, loaded_map.map)
    except CaldiffError as error:
        log.warning(str(error))
        return None

    if prior is not None:
        log.info(f'the pose saved in {path} is the prior of the first localization')

    return prior
