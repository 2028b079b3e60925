# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pinhole camera with the distortion models of ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from caldiff_ros.errors import CaldiffError

#: Accepted numbers of coefficients per model, in the order of sensor_msgs/CameraInfo and OpenCV.
DISTORTION_COEFFICIENTS = {
    'none': (0,),
    'plumb_bob': (4, 5),
    'rational_polynomial': (8, 12, 14),  # with 12 a thin prism, with 14 a tilted sensor too
    'equidistant': (4,),
}


@dataclass(frozen=True)
class Camera:
    """Intrinsics in pixels.

    Image coordinates are continuous: the centre of pixel (i, j) is at (i + 0.5, j + 0.5), as in
    COLMAP and nerfstudio, so that resizing an image scales every number below. OpenCV and
    sensor_msgs/CameraInfo put that centre at (i, j): their principal point is 0.5 smaller.

    Attributes:
        width, height: size in pixels.
        fx, fy, cx, cy: focal lengths and principal point in pixels.
        distortion_model: a key of `DISTORTION_COEFFICIENTS`.
        distortion: coefficients of that model.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = 'none'
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        accepted = DISTORTION_COEFFICIENTS.get(self.distortion_model)
        if accepted is None:
            raise CaldiffError(
                f'distortion model {self.distortion_model!r} is not known, expected one of '
                f'{", ".join(DISTORTION_COEFFICIENTS)}; rectify the images first'
            )

        if len(self.distortion) not in accepted:
            raise CaldiffError(
                f'{self.distortion_model} has {len(self.distortion)} coefficients, expected '
                f'{" or ".join(map(str, accepted))}; check the calibration'
            )

        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if self.width < 1 or self.height < 1 or not all(map(math.isfinite, numbers)):
            raise CaldiffError(
                f'the camera is {self.width}x{self.height} with numbers '
                f'{", ".join(f"{number:g}" for number in numbers)}, expected a positive size and '
                'finite numbers; check the calibration'
            )

        if self.fx <= 0 or self.fy <= 0:
            raise CaldiffError(
                f'the focal lengths are {self.fx:g} and {self.fy:g}, expected positive numbers; '
                'an uncalibrated camera cannot be localized, calibrate it first'
            )

    @property
    def is_pinhole(self) -> bool:
        """Whether no distortion remains."""
        # an equidistant lens bends directions even where all its coefficients are zero
        return self.distortion_model != 'equidistant' and not any(self.distortion)

    def pinhole(self) -> Camera:
        """The same intrinsics without distortion."""
        return replace(self, distortion_model='none', distortion=())

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in pixels."""
        return self.width, self.height

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the image resized to ``width`` x ``height``."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx,
            cy=self.cy * sy,
        )

    def downscaled(self, factor: float) -> Camera:
        """The camera of the image downscaled by ``factor``, at least one pixel wide and high.

        Raises:
            CaldiffError: if the factor is not positive.
        """
        if not 0 < factor < math.inf:
            raise CaldiffError(
                f'the downscale factor is {factor}, expected a positive number; give 1 for full '
                'resolution'
            )

        return self.resized(max(1, round(self.width / factor)), max(1, round(self.height / factor)))

    def matrix(self) -> np.ndarray:
        """K, (3, 3) float64, for continuous image coordinates."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @property
    def view(self) -> tuple[float, float, float, float]:
        """Left, upper, right and lower end of the image at distance 1, without distortion."""
        left, top = -self.cx / self.fx, -self.cy / self.fy
        return left, top, left + self.width / self.fx, top + self.height / self.fy

    def view_shared_with(self, other: Camera) -> float:
        """The share of the image (0..1, of its area) that another camera at its place sees too.

        Distortion is neglected.
        """
        left, top, right, bottom = self.view
        low_x, low_y, high_x, high_y = other.view
        width = min(right, high_x) - max(left, low_x)
        height = min(bottom, high_y) - max(top, low_y)
        return max(0.0, width) * max(0.0, height) / ((right - left) * (bottom - top))

    @property
    def fov_deg(self) -> tuple[float, float]:
        """Horizontal and vertical field of view, without distortion."""
        left, top, right, bottom = (math.degrees(math.atan(end)) for end in self.view)
        return right - left, bottom - top

    def pixel_centers(self) -> np.ndarray:
        """Continuous coordinates of all pixel centres, row by row, (height * width, 2)."""
        u, v = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        return np.stack([u.ravel(), v.ravel()], axis=-1)

    def project(self, points_cam: np.ndarray) -> np.ndarray:
        """Continuous image coordinates (N, 2) of points (N, 3) in front of the camera.

        Points behind the camera give NaN.
        """
        points_cam = np.asarray(points_cam, dtype=np.float64).reshape(-1, 1, 3)
        zero = np.zeros(3)

        if self.distortion_model == 'equidistant':
            D = np.array(self.distortion)
            uv, _ = cv2.fisheye.projectPoints(points_cam, zero, zero, self.matrix(), D)
        else:
            D = np.array(self.distortion) if self.distortion else np.zeros(5)
            uv, _ = cv2.projectPoints(points_cam, zero, zero, self.matrix(), D)

        uv = uv.reshape(-1, 2)
        uv[points_cam[:, 0, 2] <= 0] = np.nan
        return uv

    def pixel_directions(self) -> np.ndarray:
        """Viewing directions with z = 1 of all pixel centres of a camera without distortion.

        Returns:
            (height * width, 3) float64, row by row, in the camera frame.
        """
        if not self.is_pinhole:
            raise CaldiffError(
                f'directions of a {self.distortion_model} camera were asked for, expected a camera '
                'without distortion; resample the image to its pinhole() first'
            )

        xy = (self.pixel_centers() - (self.cx, self.cy)) / (self.fx, self.fy)
        return np.concatenate([xy, np.ones((len(xy), 1))], axis=-1)


def resample(image: np.ndarray, source: Camera, target: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The image that ``target`` would have taken from where ``source`` took ``image``.

    Undistorts, rescales and crops or pads in one step; the image is first reduced by area so that
    a large reduction does not alias.

    Args:
        image: uint8 (source.height, source.width, 3).
        source: camera of the image.
        target: camera wanted, without distortion.

    Returns:
        The image, uint8 (target.height, target.width, 3), and a mask of the pixels that the source
        camera saw, bool (target.height, target.width).

    Raises:
        CaldiffError: if the image does not have the size of its camera.
    """
    if image.shape[:2] != (source.height, source.width):
        raise CaldiffError(
            f'the image is {image.shape[1]}x{image.shape[0]} pixels but its camera is '
            f'{source.width}x{source.height}; give the camera of this image'
        )

    if source.is_pinhole and _same_view(source, target):
        size = (target.width, target.height)
        interpolation = cv2.INTER_AREA if target.width < source.width else cv2.INTER_LINEAR
        seen = np.ones((target.height, target.width), dtype=bool)
        return cv2.resize(image, size, interpolation=interpolation), seen

    reduction = min(source.fx / target.fx, source.fy / target.fy)
    if reduction > 1.5:
        source = source.downscaled(reduction)
        image = cv2.resize(image, (source.width, source.height), interpolation=cv2.INTER_AREA)

    map_u, map_v, seen = _resampling_maps(source, target)
    return cv2.remap(image, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), seen


def turned(
    image: np.ndarray, source: Camera, target: Camera, R_source_target: np.ndarray, border: int
) -> np.ndarray:
    """The image that a turned pinhole camera would have taken from the same place.

    Args:
        image: uint8 (H, W, 3) of ``source``.
        source: its camera, without distortion.
        target: the turned camera, without distortion.
        R_source_target: (3, 3), takes directions of the target to the source.
        border: OpenCV's rule for what the source did not see, such as `cv2.BORDER_REFLECT`.
    """
    to_centers = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])  # OpenCV counts from these
    K_source = to_centers @ source.matrix()
    K_target = to_centers @ target.matrix()
    homography = K_source @ R_source_target @ np.linalg.inv(K_target)
    size = (target.width, target.height)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    return cv2.warpPerspective(image, homography, size, None, flags, border)


def _same_view(a: Camera, b: Camera, tolerance_px: float = 0.05) -> bool:
    """Whether two pinhole cameras differ in resolution only."""
    a = a.resized(b.width, b.height)
    return np.allclose([a.fx, a.fy, a.cx, a.cy], [b.fx, b.fy, b.cx, b.cy], atol=tolerance_px)


@lru_cache(maxsize=8)
def _resampling_maps(source: Camera, target: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    directions = target.pixel_directions()
    uv = source.project(directions).reshape(target.height, target.width, 2)
    radii = np.hypot(directions[:, 0], directions[:, 1]).reshape(target.height, target.width)
    with np.errstate(invalid='ignore'):
        seen = (uv >= 0).all(-1) & (uv[..., 0] < source.width) & (uv[..., 1] < source.height)

    seen &= radii < _folding_radius(source, float(radii.max()))
    uv = np.nan_to_num(uv, nan=-1.0).astype(np.float32) - 0.5  # OpenCV counts from pixel centres
    return uv[..., 0].copy(), uv[..., 1].copy(), seen


def _folding_radius(camera: Camera, reach: float) -> float:
    """Distance from the axis, at z = 1, where the distortion turns back into the image.

    A calibrated polynomial holds within the image it was fitted to; beyond, it can fold directions
    that the camera never saw onto pixels of others.
    """
    if camera.is_pinhole:
        return math.inf

    radii = np.linspace(0.0, reach, 512)
    axis = np.stack([radii, np.zeros(512), np.ones(512)], axis=-1)
    folding = np.flatnonzero(np.diff(camera.project(axis)[:, 0]) <= 0)

    return float(radii[folding[0]]) if len(folding) else math.inf
