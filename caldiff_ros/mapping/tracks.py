# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features of several images with known poses that show the same point of the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.features import STEPS
from caldiff_ros.mapping.sparse_points import SparsePoints

#: How far a point may lie from its features, in pixels, in round after round of its adjustment.
_MAX_ERRORS_PX = (8.0, 3.0, 1.5, 1.5)


@dataclass(frozen=True)
class ImageFeatures:
    """Features of all images, one after the other, (F,).

    Attributes:
        image: which image each is of.
        uv: where, (F, 2), pixels.
        rays: unit vectors (F, 3) through them, normalized coordinates, float64.
        rgb: their colours in 0..1, (F, 3).
    """

    image: Tensor
    uv: Tensor
    rays: Tensor
    rgb: Tensor

    def __getitem__(self, index: Tensor) -> ImageFeatures:
        return ImageFeatures(self.image[index], self.uv[index], self.rays[index], self.rgb[index])


@dataclass(frozen=True)
class PosedCamera:
    """A camera at its poses.

    Attributes:
        camera: of all images, without distortion.
        poses: of the images, (V,), normalized coordinates, float64.
    """

    camera: Camera
    poses: Pose

    def rays(self, image: Tensor, uv: Tensor) -> Tensor:
        """Unit vectors (F, 3) through places (F, 2) in images (F,)."""
        camera = self.camera
        x, y = (uv.double() - torch.tensor([camera.cx, camera.cy])).unbind(-1)
        xyz = torch.stack([x / camera.fx, y / camera.fy, torch.ones_like(x)], dim=-1)
        turned = (self.poses.R[image] @ xyz[..., None])[..., 0]
        return torch.nn.functional.normalize(turned, dim=-1)

    def errors_px(self, image: Tensor, uv: Tensor, xyz: Tensor) -> Tensor:
        """How far points (F, 3) lie from places (F, 2) in images (F,); inf behind the camera."""
        camera = self.camera
        seen = (xyz - self.poses.t[image])[:, None] @ self.poses.R[image]
        x, y, z = seen[:, 0].unbind(-1)
        found = torch.stack([x / z * camera.fx + camera.cx, y / z * camera.fy + camera.cy], dim=-1)
        return torch.where(z > 0, (found - uv).norm(dim=-1), torch.inf)


@dataclass(frozen=True)
class Tracks:
    """Points, and the features that show them, (M,).

    Attributes:
        posed: the images' camera.
        features: those of all images that show one of the points.
        point: which of the points each shows.
        descriptors: of the features, see `scenes.features.features_of`, times 255, uint8 (M, 128).
        xyz: the points, (N, 3), normalized coordinates, float64.
    """

    posed: PosedCamera
    features: ImageFeatures
    point: Tensor
    descriptors: Tensor
    xyz: Tensor

    @classmethod
    def fitted(
        cls, posed: PosedCamera, features: ImageFeatures, point: Tensor, descriptors: Tensor
    ) -> Tracks:
        """Points from the features (M,) that each is said to have, without those that do not fit.

        Args:
            posed: the images' camera.
            features: see the class.
            point: see the class.
            descriptors: norm 1, (M, 128); or as the class has them.
        """
        n = int(point.max()) + 1 if len(point) else 0
        weight = torch.ones(len(point), dtype=torch.float64)
        fits = torch.ones(len(point), dtype=torch.bool)
        xyz = torch.zeros(n, 3, dtype=torch.float64)

        for limit in _MAX_ERRORS_PX:
            xyz = nearest_to_rays(features, point, posed, weight * fits, n)
            fits = posed.errors_px(features.image, features.uv, xyz[point]) < limit
            # an error of a pixel is one of an angle
            far = (xyz[point] - posed.poses.t[features.image]).norm(dim=-1)
            weight = 1 / far.clamp_min(1e-6) ** 2

        if descriptors.dtype != torch.uint8:
            descriptors = (descriptors * STEPS).round().to(torch.uint8)
        return cls(posed, features[fits], point[fits], descriptors[fits], xyz)

    @property
    def points(self) -> SparsePoints:
        """The points that enough images show."""
        n = len(self.xyz)
        rgb = torch.zeros(n, 3).index_add_(0, self.point, self.features.rgb)
        rgb /= torch.bincount(self.point, minlength=n).clamp_min(1)[:, None]
        seen_by = tuple(
            torch.unique(self.point[self.features.image == i]) for i in range(len(self.posed.poses))
        )
        return SparsePoints(self.xyz.float(), rgb, seen_by, 'triangulated features').found_often()

    def without(self, images: Tensor) -> Tracks:
        """As if some of the images, bool (V,), had not been there."""
        kept = ~images[self.features.image]
        return Tracks.fitted(
            self.posed, self.features[kept], self.point[kept], self.descriptors[kept]
        )

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes it of again, apart from the camera."""
        features = {name: getattr(self.features, name) for name in ('image', 'uv', 'rays', 'rgb')}
        return {
            **features,
            'point': self.point,
            'descriptors': self.descriptors,
            'xyz': self.xyz,
        }

    @classmethod
    def from_dict(cls, posed: PosedCamera, content: dict[str, Any]) -> Tracks:
        """See `to_dict`."""
        features = ImageFeatures(*(content[name] for name in ('image', 'uv', 'rays', 'rgb')))
        return cls(posed, features, *(content[name] for name in ('point', 'descriptors', 'xyz')))


def nearest_to_rays(
    features: ImageFeatures, point: Tensor, posed: PosedCamera, weight: Tensor, n: int
) -> Tensor:
    """The ``n`` points (n, 3) nearest to the rays of features (M,), each of one of the points."""
    rays, centers = features.rays, posed.poses.t[features.image]
    across = torch.eye(3, dtype=torch.float64) - rays[:, :, None] * rays[:, None, :]
    across = weight[:, None, None] * across
    A = torch.zeros(n, 3, 3, dtype=torch.float64).index_add_(0, point, across)
    b = torch.zeros(n, 3, dtype=torch.float64)
    b.index_add_(0, point, (across @ centers[..., None])[..., 0])

    # parallel rays have their point far away, not nowhere
    some = 1e-9 * A.diagonal(dim1=-2, dim2=-1).sum(-1) + 1e-30
    return torch.linalg.solve(A + some[:, None, None] * torch.eye(3).double(), b)
