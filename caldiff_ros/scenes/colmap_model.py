# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files of a COLMAP model, binary or text: cameras, images with their poses, points.

Not read with pycolmap, where that is installed: it ends the process, or reads on with numbers that
are not there, where a file is cut off, and of a text model it cuts image names at a space.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from caldiff_ros.errors import CaldiffError

#: Names of the camera models by their numbers in cameras.bin, and how many parameters they have.
_MODELS = {
    0: ('SIMPLE_PINHOLE', 3),
    1: ('PINHOLE', 4),
    2: ('SIMPLE_RADIAL', 4),
    3: ('RADIAL', 5),
    4: ('OPENCV', 8),
    5: ('OPENCV_FISHEYE', 8),
    6: ('FULL_OPENCV', 12),
    7: ('FOV', 5),
    8: ('SIMPLE_RADIAL_FISHEYE', 4),
    9: ('RADIAL_FISHEYE', 5),
    10: ('THIN_PRISM_FISHEYE', 12),
    11: ('RAD_TAN_THIN_PRISM_FISHEYE', 16),
    12: ('SIMPLE_DIVISION', 4),
    13: ('DIVISION', 5),
    14: ('SIMPLE_FISHEYE', 3),
    15: ('FISHEYE', 4),
    16: ('EUCM', 6),
    17: ('EQUIRECTANGULAR', 2),
}
#: Size of a feature in images.bin: place and point.
_FEATURE_BYTES = 24


@dataclass(frozen=True)
class ColmapCamera:
    """A camera: name of its model, size in pixels, parameters in COLMAP's order."""

    model: str
    width: int
    height: int
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class ColmapImage:
    """A registered image: its name, the number of its camera, and its pose.

    ``T_cam_map`` (4, 4) takes points of the model to the optical camera.
    """

    name: str
    camera_id: int
    T_cam_map: np.ndarray


@dataclass(frozen=True)
class ColmapModel:
    """What is in the files.

    Attributes:
        cameras: by their numbers.
        images: by their numbers.
        xyz: points (N, 3).
        rgb: their colours, (N, 3) uint8.
        tracks: (M, 2), the number of an image and the index of a point that was found in it.
    """

    cameras: dict[int, ColmapCamera]
    images: dict[int, ColmapImage]
    xyz: np.ndarray
    rgb: np.ndarray
    tracks: np.ndarray


def model_kind(folder: Path) -> str | None:
    """'.bin' or '.txt' where a folder has the files of a model, binary rather than text."""
    for kind in ('.bin', '.txt'):
        if (folder / f'cameras{kind}').is_file() and (folder / f'images{kind}').is_file():
            return kind

    return None


def read_model(folder: Path) -> ColmapModel:
    """Read a model; one of known poses may lack the file of points.

    Raises:
        CaldiffError: if the files are damaged.
    """
    kind = model_kind(folder)
    cameras, images, points = (
        folder / f'{name}{kind}' for name in ('cameras', 'images', 'points3D')
    )
    read_cameras, read_images, read_points = _READERS[kind or '']
    try:
        return _model(
            dict(read_cameras(cameras)),
            dict(read_images(images)),
            list(read_points(points)) if points.is_file() else [],
        )
    except (OSError, ValueError, KeyError, IndexError, struct.error) as error:
        raise CaldiffError(
            f'{folder} cannot be read as a COLMAP model ({type(error).__name__}: {error}), '
            'expected cameras, images and points3D as COLMAP writes them; export the model again'
        ) from error


def _pose_matrix(qwxyz: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(4, 4) of a quaternion (w, x, y, z), of any length, and a translation (3,)."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat(np.roll(qwxyz, -1)).as_matrix()
    T[:3, 3] = t
    return T


#: xyz, rgb and the numbers of the images of a point.
_Point = tuple[tuple[float, ...], tuple[int, ...], np.ndarray]


def _model(
    cameras: dict[int, ColmapCamera], images: dict[int, ColmapImage], points: list[_Point]
) -> ColmapModel:
    tracks = [
        np.stack([seen_in, np.full(len(seen_in), i)], axis=-1)
        for i, (_, _, seen_in) in enumerate(points)
    ]
    return ColmapModel(
        cameras,
        images,
        xyz=np.array([xyz for xyz, _, _ in points], np.float64).reshape(-1, 3),
        rgb=np.array([rgb for _, rgb, _ in points], np.uint8).reshape(-1, 3),
        tracks=np.concatenate(tracks) if tracks else np.empty((0, 2), np.int64),
    )


class _Bytes:
    """A binary file, read from its beginning."""

    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()
        self._at = 0

    def numbers(self, layout: str) -> tuple:
        """The next little-endian numbers, by their codes of `struct`."""
        layout = '<' + layout
        values = struct.unpack_from(layout, self._content, self._at)
        self._at += struct.calcsize(layout)
        return values

    def array(self, count: int, dtype: str) -> np.ndarray:
        """The next ``count`` numbers of one kind."""
        values = np.frombuffer(self._content, dtype, count, self._at)
        self._at += values.nbytes
        return values

    def text(self) -> str:
        """What comes before the next zero byte."""
        end = self._content.index(b'\0', self._at)
        text = self._content[self._at : end].decode()
        self._at = end + 1
        return text


def _binary_cameras(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    content = _Bytes(path)
    for _ in range(*content.numbers('Q')):
        number, model_id, width, height = content.numbers('IiQQ')
        model, n_parameters = _MODELS[model_id]
        parameters = content.numbers(f'{n_parameters}d')
        yield number, ColmapCamera(model, width, height, parameters)


def _binary_images(path: Path) -> Iterator[tuple[int, ColmapImage]]:
    content = _Bytes(path)
    for _ in range(*content.numbers('Q')):
        number, *pose, camera_id = content.numbers('I7dI')
        name = content.text()
        (n_features,) = content.numbers('Q')
        content.array(n_features, f'V{_FEATURE_BYTES}')  # the points have them as well
        T_cam_map = _pose_matrix(np.array(pose[:4]), np.array(pose[4:]))
        yield number, ColmapImage(name, camera_id, T_cam_map)


def _binary_points(path: Path) -> Iterator[_Point]:
    content = _Bytes(path)
    for _ in range(*content.numbers('Q')):
        _, x, y, z, r, g, b, _, length = content.numbers('Q3d3BdQ')
        track = content.array(2 * length, '<u4')
        yield (x, y, z), (r, g, b), track[::2].astype(np.int64)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file without comments; empty ones are lists of no features."""
    with path.open(encoding='utf-8-sig') as file:
        yield from (line.rstrip('\r\n') for line in file if not line.startswith('#'))


def _text_cameras(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    for line in _lines(path):
        if line.strip():
            number, model, width, height, *parameters = line.split()
            camera = ColmapCamera(model, int(width), int(height), tuple(map(float, parameters)))
            yield int(number), camera


def _text_images(path: Path) -> Iterator[tuple[int, ColmapImage]]:
    lines = _lines(path)
    for line in lines:
        if line.strip():
            # a name may have spaces
            number, *pose, camera_id, name = line.strip().split(maxsplit=9)
            next(lines, None)  # its features
            qwxyz, t = np.array(pose[:4], float), np.array(pose[4:], float)
            yield int(number), ColmapImage(name, int(camera_id), _pose_matrix(qwxyz, t))


def _text_points(path: Path) -> Iterator[_Point]:
    for line in _lines(path):
        if line.strip():
            _, x, y, z, r, g, b, _, *track = line.split()
            rgb = int(r), int(g), int(b)
            yield (float(x), float(y), float(z)), rgb, np.array(track[::2], np.int64)


_READERS = {
    '.bin': (_binary_cameras, _binary_images, _binary_points),
    '.txt': (_text_cameras, _text_images, _text_points),
}
