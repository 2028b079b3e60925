# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scale from printed tags and boards of known size, triangulated from the images that show them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from caldiff_ros.capture.scale import Scale, Solved
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry.similarity import Similarity
from caldiff_ros.scenes import read_image
from caldiff_ros.wording import counted

TagFamily = Literal['tag36h11', 'tag36h10', 'tag25h9', 'tag16h5']

_TAG_DICTIONARIES = {
    'tag36h11': cv2.aruco.DICT_APRILTAG_36H11,
    'tag36h10': cv2.aruco.DICT_APRILTAG_36H10,
    'tag25h9': cv2.aruco.DICT_APRILTAG_25H9,
    'tag16h5': cv2.aruco.DICT_APRILTAG_16H5,
}
_MARKER_DICTIONARIES = {
    '4x4': cv2.aruco.DICT_4X4_1000,
    '5x5': cv2.aruco.DICT_5X5_1000,
    '6x6': cv2.aruco.DICT_6X6_1000,
    '7x7': cv2.aruco.DICT_7X7_1000,
}
#: Rays that meet at a smaller angle do not say where.
_MIN_ANGLE_DEG = 2.0
#: A corner whose rays pass it at more than this share of the target's size is not used.
_MAX_MISS = 0.2

#: Corners seen in an image: continuous coordinates by object and number of the corner.
Corners = dict[tuple[int, int], np.ndarray]


class Target(Protocol):
    """A printed thing whose corners have known places."""

    def layout_m(self, corner: int) -> np.ndarray:
        """Where a corner is on the paper, (3,) in metres."""

    def detect(self, gray: np.ndarray) -> Corners:
        """The corners in a picture (H, W) uint8."""


@dataclass(frozen=True)
class Tags:
    """AprilTags, all of one size.

    Attributes:
        size_m: edge of the black square.
        family: of the tags.
    """

    size_m: float
    family: TagFamily = 'tag36h11'

    def __post_init__(self) -> None:
        _check_positive(self.size_m, 'the edge of the tag')

    def layout_m(self, corner: int) -> np.ndarray:
        """See `Target`; clockwise from the upper left."""
        x, y = ((0, 0), (1, 0), (1, 1), (0, 1))[corner]
        return self.size_m * np.array([x, y, 0.0])

    def detect(self, gray: np.ndarray) -> Corners:
        """See `Target`."""
        corners, numbers, _ = self._detector.detectMarkers(gray)
        if numbers is None:
            return {}

        return {
            (int(number), corner): uv + 0.5  # OpenCV counts from the centre of the first pixel
            for number, of_tag in zip(numbers.ravel(), corners, strict=True)
            for corner, uv in enumerate(of_tag.reshape(4, 2).astype(np.float64))
        }

    @cached_property
    def dictionary(self) -> cv2.aruco.Dictionary:
        """OpenCV's, which can draw the tags."""
        return cv2.aruco.getPredefinedDictionary(_TAG_DICTIONARIES[self.family])

    @cached_property
    def _detector(self) -> cv2.aruco.ArucoDetector:
        parameters = cv2.aruco.DetectorParameters()
        parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        return cv2.aruco.ArucoDetector(self.dictionary, parameters)


@dataclass(frozen=True)
class Charuco:
    """A ChArUco board.

    Attributes:
        columns, rows: squares of the chessboard.
        square_m: edge of a square.
        marker_m: edge of the markers in the white squares.
        markers: bits of the markers.
    """

    columns: int
    rows: int
    square_m: float
    marker_m: float
    markers: str = '4x4'

    def __post_init__(self) -> None:
        _check_positive(self.square_m, 'the edge of a square')
        _check_positive(self.marker_m, 'the edge of a marker')
        if self.markers not in _MARKER_DICTIONARIES:
            raise CaldiffError(
                f'the markers of the board have {self.markers!r} bits, expected one of '
                f'{", ".join(_MARKER_DICTIONARIES)}; check --charuco'
            )

        if self.columns < 3 or self.rows < 3 or self.marker_m >= self.square_m:
            raise CaldiffError(
                f'the board has {self.columns}x{self.rows} squares of {self.square_m} m with '
                f'markers of {self.marker_m} m, expected at least 3x3 and markers smaller than '
                'squares; check --charuco'
            )

    def layout_m(self, corner: int) -> np.ndarray:
        """See `Target`; the inner corners row by row."""
        row, column = divmod(corner, self.columns - 1)
        return self.square_m * np.array([column + 1, row + 1, 0.0])

    def detect(self, gray: np.ndarray) -> Corners:
        """See `Target`."""
        corners, numbers, _, _ = self._detector.detectBoard(gray)
        if numbers is None:
            return {}

        places = corners.reshape(-1, 2).astype(np.float64) + 0.5
        return {(0, int(n)): uv for n, uv in zip(numbers.ravel(), places, strict=True)}

    @cached_property
    def board(self) -> cv2.aruco.CharucoBoard:
        """OpenCV's, which can draw the board."""
        dictionary = cv2.aruco.getPredefinedDictionary(_MARKER_DICTIONARIES[self.markers])
        size = (self.columns, self.rows)
        return cv2.aruco.CharucoBoard(size, self.square_m, self.marker_m, dictionary)

    @cached_property
    def _detector(self) -> cv2.aruco.CharucoDetector:
        return cv2.aruco.CharucoDetector(self.board)


@dataclass(frozen=True)
class TargetScale:
    """The scale that makes printed targets as large as they are."""

    target: Target

    def measure(self, solved: Solved) -> Scale:
        """See `ScaleSource`."""
        seen: dict[tuple[int, int], list[tuple[Any, np.ndarray]]] = defaultdict(list)
        n_images = 0
        for picture, image in solved.registered():
            gray = cv2.cvtColor(read_image(solved.images / picture.name), cv2.COLOR_RGB2GRAY)
            found = self.target.detect(gray)
            n_images += bool(found)
            for corner, uv in found.items():
                seen[corner].append((image, uv))

        points = {corner: triangulate(views) for corner, views in seen.items()}
        scales = self._scales({c: point for c, point in points.items() if point is not None})
        if not scales:
            raise CaldiffError(
                f'the printed target is in {counted(n_images, "image")} with a pose and no '
                'corner of it was triangulated, expected it sharp and large in at least two of '
                'them; check its type, or measure a distance instead (--distance)'
            )

        middle = float(np.median(scales))
        spread = max(scales) / min(scales) - 1
        how = f'printed targets ({len(scales)}) in {n_images} images'
        return Scale(middle, f'{how}, which agree to {spread:.1%}' if len(scales) > 1 else how)

    def _scales(self, points: dict[tuple[int, int], np.ndarray]) -> list[float]:
        """Metres per unit from every object of which three corners are known."""
        scales = []
        for number in {number for number, _ in points}:
            corners = [corner for of, corner in points if of == number]
            if len(corners) < 3:
                continue

            paper_m = np.array([self.target.layout_m(corner) for corner in corners])
            found = np.array([points[number, corner] for corner in corners])
            fitted = Similarity.fit(paper_m, found)
            miss_m = np.linalg.norm(fitted.transform(found) - paper_m, axis=1).max()
            if fitted.scale > 0 and miss_m < _MAX_MISS * np.ptp(paper_m, axis=0).max():
                scales.append(fitted.scale)

        return scales


def triangulate(views: list[tuple[Any, np.ndarray]]) -> np.ndarray | None:
    """The point (3,) nearest to the rays of some images; None where they do not meet at an angle.

    Args:
        views: pycolmap's image, and where it sees the point in continuous coordinates (2,).
    """
    if len(views) < 2:
        return None

    centers = np.array([image.projection_center() for image, _ in views])
    rays = np.array([_ray(image, uv) for image, uv in views])
    cosines = np.clip(rays @ rays.T, -1.0, 1.0)
    if np.degrees(np.arccos(cosines.min())) < _MIN_ANGLE_DEG:
        return None

    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    return np.linalg.solve(across.sum(axis=0), np.einsum('nij,nj->i', across, centers))


def _ray(image: Any, uv: np.ndarray) -> np.ndarray:
    """Direction (3,) of length 1 in which an image sees something."""
    direction = np.append(image.camera.cam_from_img(uv), 1.0)
    turned = image.cam_from_world().rotation.matrix().T @ direction
    return turned / np.linalg.norm(turned)


def _check_positive(length: float, what: str) -> None:
    if not 0 < length < float('inf'):
        raise CaldiffError(f'{what} is {length} m, expected a positive length; measure it')
