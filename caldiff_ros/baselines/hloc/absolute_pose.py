# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pose of a camera from points of the map and where it sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caldiff_ros.baselines.hloc.config import EXTRA, HlocConfig
from caldiff_ros.baselines.hloc.reconstruction import colmap_camera
from caldiff_ros.geometry import Camera
from caldiff_ros.packages import load_pycolmap

#: Standard deviation of keypoints in pixels of the enlarged image; a fit is not taken to be better.
_NOISE_PX = 0.5


@dataclass(frozen=True)
class Estimate:
    """A pose and what speaks for it.

    Attributes:
        T_map_cam: (4, 4) float64.
        covariance: as in `Answer`, (6, 6) float64.
        n_inliers: keypoints that agree with it.
    """

    T_map_cam: np.ndarray
    covariance: np.ndarray
    n_inliers: int


def estimate_pose(
    uv: np.ndarray, xyz: np.ndarray, camera: Camera, config: HlocConfig, seed: int
) -> Estimate | None:
    """LO-RANSAC and refinement of COLMAP; None if that finds nothing.

    Args:
        uv: continuous image coordinates (M, 2).
        xyz: points (M, 3) of the map that may be there.
        camera: of the enlarged image.
        config: the tolerance.
        seed: of the samples.
    """
    if len(uv) < 4:
        return None

    pycolmap = load_pycolmap(EXTRA)
    pycolmap.set_random_seed(seed)
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error = config.ransac_px
    options.ransac.random_seed = seed
    found = pycolmap.estimate_and_refine_absolute_pose(
        uv.astype(np.float64), xyz, colmap_camera(pycolmap, camera), options
    )
    if found is None:
        return None

    T_map_cam = np.eye(4)
    T_map_cam[:3] = found['cam_from_world'].inverse().matrix()
    inliers = found['inlier_mask']
    covariance = reprojection_covariance(uv[inliers], xyz[inliers], T_map_cam, camera)

    # a keypoint that sees several points is still one observation
    n_inliers = len(np.unique(uv[inliers], axis=0))
    return Estimate(T_map_cam, covariance * inliers.sum() / n_inliers, n_inliers)


def reprojection_covariance(
    uv: np.ndarray, xyz: np.ndarray, T_map_cam: np.ndarray, camera: Camera
) -> np.ndarray:
    """Covariance of the pose that minimizes the reprojection errors, as in `Answer`: (6, 6).

    Args:
        uv: continuous image coordinates (M, 2).
        xyz: the points (M, 3) seen there.
        T_map_cam: the pose.
        camera: the camera.
    """
    R, t = T_map_cam[:3, :3], T_map_cam[:3, 3]
    offset = xyz - t
    x, y, z = (offset @ R).T
    focal = np.array([camera.fx, camera.fy])
    residual = np.stack([x, y], -1) / z[:, None] * focal + (camera.cx, camera.cy) - uv
    by_point = np.zeros((len(uv), 2, 3))  # derivatives by the coordinates in the camera
    by_point[:, 0, 0], by_point[:, 1, 1] = 1 / z, 1 / z
    by_point[:, 0, 2] = -x / z**2
    by_point[:, 1, 2] = -y / z**2
    by_point *= focal[:, None]

    # moving the camera by d, or turning it by r about the map's axes, moves a point in the camera
    # by R^T (-d) or R^T (offset x r)
    by_shift = -by_point @ R.T
    by_turn = -np.cross(offset[:, None], by_shift, axis=-1)
    J = np.concatenate([by_shift, -by_turn], axis=-1).reshape(-1, 6)
    variance = max((residual**2).sum() / max(residual.size - 6, 1), _NOISE_PX**2)

    return variance * np.linalg.pinv(J.T @ J, hermitian=True)
