# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record3D's export of images: ``metadata.json`` and ``rgb/0.jpg``, ``rgb/1.jpg``, ..."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, checked_pose, opengl_to_optical
from caldiff_ros.scenes.conventions import OPENGL
from caldiff_ros.scenes.reading import fitted_to_files, read_json, read_splits, warn_skipped
from caldiff_ros.scenes.scene import Frame, Scene

_EXTENSIONS = ('.jpg', '.png')


def is_record3d(root: Path) -> bool:
    """Whether a folder looks like an export."""
    return (root / 'metadata.json').is_file() and (root / 'rgb').is_dir()


def read_record3d(root: Path) -> Scene:
    """Read an export.

    Poses are used as they are: ARKit's world, y up, metres. The images are numbered from 0, and so
    are those that ``splits.json`` names by number. The depth, in a format of its own, is not read.
    """
    path = root / 'metadata.json'
    shared, cameras, poses = _metadata(path)
    frames, missing = [], []

    for number, pose in enumerate(poses):
        candidates = [root / 'rgb' / f'{number}{extension}' for extension in _EXTENSIONS]
        image_path = next((c for c in candidates if c.is_file()), None)
        if image_path is None:
            missing.append(candidates[0])
            continue

        T_map_camgl = np.eye(4)
        T_map_camgl[:3, :3] = Rotation.from_quat(pose[:4]).as_matrix()
        T_map_camgl[:3, 3] = pose[4:]
        where = f'image {number} of {path}'
        frames.append(
            Frame(
                name=f'rgb/{number}',
                image_path=image_path,
                camera=shared if cameras is None else cameras[number],
                T_map_cam=opengl_to_optical(checked_pose(T_map_camgl, where)),
            )
        )

    def name_of(part: str, number: int) -> str | None:
        return f'rgb/{number}' if 0 <= number < len(poses) else None

    warn_skipped(missing, len(poses))
    splits = read_splits(root, name_of)
    frames = fitted_to_files(frames)
    return Scene(root.name, root, frames, splits, metric=True, convention=OPENGL)


def _metadata(path: Path) -> tuple[Camera, list[Camera] | None, np.ndarray]:
    """The camera of the file, those of the images where they differ, and the poses (N, 7).

    A pose is a quaternion (x, y, z, w) and a translation, of an OpenGL camera.
    """
    content = read_json(path)
    try:
        width, height = int(content['w']), int(content['h'])
        K = np.array(content['K'], np.float64).reshape(3, 3)  # column by column
        poses = np.array(content['poses'], np.float64).reshape(-1, 7)
        coefficients = content.get('perFrameIntrinsicCoeffs')
        each = None if coefficients is None else np.array(coefficients, np.float64).reshape(-1, 4)
        valid = np.isfinite(poses).all() and bool((np.abs(poses[:, :4]).sum(axis=1) > 0).all())
    except (KeyError, TypeError, ValueError) as error:
        raise CaldiffError(
            f'{path} is not understood ({error!r}), expected w, h, K and poses as Record3D writes '
            'them; export it again'
        ) from error

    if not valid or (each is not None and len(each) != len(poses)):
        raise CaldiffError(
            f'{path} has poses that are not finite, or other intrinsics than poses, expected one '
            'of each for every image; export it again'
        )

    shared = Camera(width, height, K[0, 0], fy=K[1, 1], cx=K[2, 0], cy=K[2, 1])
    if each is None:
        return shared, None, poses

    cameras = [Camera(width, height, fx, fy=fy, cx=cx, cy=cy) for fx, fy, cx, cy in each]
    return shared, cameras, poses
