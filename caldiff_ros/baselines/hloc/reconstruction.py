# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points of the map, triangulated by COLMAP from matches between images of known pose."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from torch import Tensor

from caldiff_ros.baselines.hloc.config import EXTRA, HlocConfig
from caldiff_ros.baselines.hloc.features import Features
from caldiff_ros.geometry import Camera
from caldiff_ros.packages import load_pycolmap

#: Of a pair of images: their indices i < j.
Pair = tuple[int, int]


@dataclass(frozen=True)
class Points:
    """The points of a map.

    Attributes:
        xyz: (P, 3) float64, map coordinates.
        of_keypoint: per image, the index (N,) of the point that each keypoint shows, or -1.
    """

    xyz: np.ndarray
    of_keypoint: list[np.ndarray]


def colmap_camera(pycolmap: ModuleType, camera: Camera):
    """The same pinhole camera; COLMAP's image coordinates are ours."""
    params = [camera.fx, camera.fy, camera.cx, camera.cy]
    return pycolmap.Camera(
        model='PINHOLE',
        width=camera.width,
        height=camera.height,
        params=params,
        camera_id=1,
        has_prior_focal_length=True,
    )


def verified(
    uv_a: np.ndarray,
    uv_b: np.ndarray,
    T_a_map: np.ndarray,
    T_b_map: np.ndarray,
    camera: Camera,
    max_px: float,
) -> np.ndarray:
    """Which matches, bool (M,), lie near the epipolar lines that the known poses give.

    Args:
        uv_a: continuous image coordinates (M, 2) in one image, ...
        uv_b: ... and of the same points in another.
        T_a_map: (4, 4), from the map to the one camera, ...
        T_b_map: ... and to the other.
        camera: of both images.
        max_px: largest Sampson distance in pixels.
    """
    T_b_a = T_b_map @ np.linalg.inv(T_a_map)
    x, y, z = T_b_a[:3, 3]
    E = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ T_b_a[:3, :3]
    K_inv = np.linalg.inv(camera.matrix())
    F = K_inv.T @ E @ K_inv
    a, b = (np.column_stack([uv, np.ones(len(uv))]) for uv in (uv_a, uv_b))
    lines_b = a @ F.T
    lines_a = b @ F
    slope = (lines_b[:, :2] ** 2).sum(-1) + (lines_a[:, :2] ** 2).sum(-1)

    return (b * lines_b).sum(-1) ** 2 <= max_px**2 * slope


def triangulate(
    features: list[Features],
    matches: dict[Pair, Tensor],
    T_map_cam: np.ndarray,
    camera: Camera,
    config: HlocConfig,
    seed: int,
) -> Points:
    """Points that the images have in common.

    Args:
        features: keypoints of the images.
        matches: indices (M, 2) of keypoints that belong together, per pair.
        T_map_cam: poses of the images, (V, 4, 4) float64; they stay what they are.
        camera: of the enlarged images.
        config: tolerances.
        seed: of COLMAP's random numbers.

    Raises:
        CaldiffError: if pycolmap is missing.
    """
    pycolmap = load_pycolmap(EXTRA)
    pycolmap.set_random_seed(seed)
    T_cam_map = np.linalg.inv(T_map_cam)
    uv = [one.uv.double().numpy() for one in features]
    known = _images(pycolmap, uv, T_cam_map, camera)

    with tempfile.TemporaryDirectory() as folder:
        database = pycolmap.Database.open(str(Path(folder) / 'database.db'))
        _write_images(known, database)

        for (i, j), matched in matches.items():
            found = matched.numpy()
            sides = uv[i][found[:, 0]], uv[j][found[:, 1]], T_cam_map[i], T_cam_map[j]
            found = found[verified(*sides, camera, config.epipolar_px)].astype(np.uint32)
            two_views = pycolmap.TwoViewGeometry()
            two_views.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            two_views.inlier_matches = found
            database.write_matches(i + 1, j + 1, found)
            database.write_two_view_geometry(i + 1, j + 1, two_views)

        database.close()
        options = pycolmap.IncrementalPipelineOptions()
        options.extract_colors, options.num_threads = False, 1
        options.random_seed = options.triangulation.random_seed = seed
        options.triangulation.ignore_two_view_tracks = not config.two_view_points
        built = pycolmap.triangulate_points(
            known, str(Path(folder) / 'database.db'), folder, folder, options=options
        )

    return _points(built, len(features))


def _images(pycolmap: ModuleType, uv: list[np.ndarray], T_cam_map: np.ndarray, camera: Camera):
    """A reconstruction of cameras alone; COLMAP counts from 1."""
    known = pycolmap.Reconstruction()
    known.add_camera_with_trivial_rig(colmap_camera(pycolmap, camera))

    for i, (points, T) in enumerate(zip(uv, T_cam_map, strict=True)):
        image = pycolmap.Image(f'{i:06d}', points, camera_id=1, image_id=i + 1)
        known.add_image_with_trivial_frame(image, pycolmap.Rigid3d(T[:3]))

    return known


def _write_images(known, database) -> None:
    """What the database has to know of the images."""
    for camera in known.cameras.values():
        database.write_camera(camera, use_camera_id=True)

    for rig in known.rigs.values():
        database.write_rig(rig, use_rig_id=True)

    for frame in known.frames.values():
        database.write_frame(frame, use_frame_id=True)

    for image in known.images.values():
        database.write_image(image, use_image_id=True)
        uv = np.array([point.xy for point in image.points2D], np.float32).reshape(-1, 2)
        database.write_keypoints(image.image_id, uv)


def _points(built, n_images: int) -> Points:
    numbers = sorted(built.points3D)
    index = {number: k for k, number in enumerate(numbers)}
    xyz = np.array([built.points3D[number].xyz for number in numbers]).reshape(-1, 3)
    of_keypoint = [
        np.array([index.get(point.point3D_id, -1) for point in built.images[i + 1].points2D], int)
        for i in range(n_images)
    ]

    return Points(xyz, of_keypoint)
