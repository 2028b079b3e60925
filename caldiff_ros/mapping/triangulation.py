# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points triangulated from features that several images with known poses share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.mapping.sparse_points import SparsePoints
from caldiff_ros.scenes.features import features_of, matches

#: Weaker features than usual: bare walls have no others, and the poses tell which ones match.
_CONTRAST = 0.003
#: Features of an image, and about as many in all, which bounds time and memory.
_MOST_FEATURES, _FEWEST_FEATURES, _FEATURES_IN_ALL = 4000, 200, 150_000
#: An image is matched with this many others, those that look at the same from nearest by.
_NEIGHBORS = 10
#: How far a turn by one radian counts, as a share of the distance between the outermost cameras.
_RADIAN = 0.5
#: How far a point may lie from its features, in pixels, in round after round of its adjustment.
_MAX_ERRORS_PX = (8.0, 3.0, 1.5, 1.5)

#: Called with the images and pairs that are done, and all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Features:
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

    def __getitem__(self, index: Tensor) -> Features:
        return Features(self.image[index], self.uv[index], self.rays[index], self.rgb[index])


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


def triangulated_points(
    images: Iterable[tuple[np.ndarray, np.ndarray]],
    camera: Camera,
    poses: Pose,
    progress: Progress,
) -> SparsePoints:
    """Match features between neighbouring images, and triangulate what belongs together.

    Args:
        images: uint8 (H, W, 3), and which of their pixels may be used, bool (H, W); V of them.
        camera: of all images, without distortion.
        poses: of the images, (V,), normalized coordinates.
        progress: receives how many images and pairs are done.
    """
    posed = PosedCamera(camera, poses.to(torch.float64))
    pairs = neighbor_pairs(poses)
    n_steps = len(poses) + len(pairs)
    features, descriptors = _all_features(images, posed, lambda done: progress(done, n_steps))
    first = torch.tensor([0, *(len(each) for each in descriptors)]).cumsum(0)
    links = []

    for done, (i, j) in enumerate(pairs, len(poses) + 1):
        in_i, in_j = matches(descriptors[i], descriptors[j])
        links.append(_consistent(torch.stack([first[i] + in_i, first[j] + in_j]), features, posed))
        progress(done, n_steps)

    point, used = _tracks(torch.cat(links, dim=1), len(features.image))
    return _points_of(features[used], point, posed)


def neighbor_pairs(cameras: Pose) -> list[tuple[int, int]]:
    """Pairs i < j of cameras (V,) that look at the same from near each other."""
    extent = float((cameras.t.amax(0) - cameras.t.amin(0)).norm()) or 1.0
    count = min(_NEIGHBORS, len(cameras) - 1)
    pairs = set()
    for i in range(len(cameras)):
        angle = torch.deg2rad(cameras.rotation_error_deg(cameras[i : i + 1]))
        distance = (cameras.t - cameras.t[i]).norm(dim=-1) / extent + _RADIAN * angle
        distance[i] = torch.inf
        nearest = distance.topk(count, largest=False).indices.tolist()
        pairs |= {(min(i, j), max(i, j)) for j in nearest}

    return sorted(pairs)


def _all_features(
    images: Iterable[tuple[np.ndarray, np.ndarray]],
    posed: PosedCamera,
    progress: Callable[[int], None],
) -> tuple[Features, list[Tensor]]:
    """Features of all images, and the descriptors of each image."""
    n = len(posed.poses)
    count = min(max(_FEATURES_IN_ALL // n, _FEWEST_FEATURES), _MOST_FEATURES)
    places, colors, descriptors = [], [], []
    for done, (rgb, seen) in enumerate(images, 1):
        uv, described = features_of(rgb, seen, count, contrast=_CONTRAST)
        x, y = uv.long().T.numpy()
        places.append(uv)
        colors.append(torch.from_numpy(rgb[y, x]).float() / 255)
        descriptors.append(described)
        progress(done)

    counts = torch.tensor([len(uv) for uv in places])
    image = torch.repeat_interleave(torch.arange(n), counts)
    uv = torch.cat(places)
    return Features(image, uv, posed.rays(image, uv), torch.cat(colors)), descriptors


def _consistent(links: Tensor, features: Features, posed: PosedCamera) -> Tensor:
    """Those of the links (2, M) between features whose rays meet."""
    n = links.shape[1]
    both = features[links.flatten()]
    point = torch.arange(n).repeat(2)
    xyz = _nearest_to_rays(both, point, posed, torch.ones(2 * n, dtype=torch.float64), n)
    good = posed.errors_px(both.image, both.uv, xyz[point]) < _MAX_ERRORS_PX[-1]
    return links[:, good.view(2, n).all(dim=0)]


def _tracks(links: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Number of the point of each feature (M,) that is linked to others, and these of ``n``."""
    first, second = links.numpy()
    graph = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    used = np.unique(links.numpy())
    _, point = np.unique(component[used], return_inverse=True)
    return torch.from_numpy(point).long(), torch.from_numpy(used)


def _points_of(features: Features, point: Tensor, posed: PosedCamera) -> SparsePoints:
    """Points from the features (M,) that each is said to have, without those that do not fit."""
    n = int(point.max()) + 1 if len(point) else 0
    weight = torch.ones(len(point), dtype=torch.float64)
    fits = torch.ones(len(point), dtype=torch.bool)
    xyz = torch.zeros(n, 3, dtype=torch.float64)

    for limit in _MAX_ERRORS_PX:
        xyz = _nearest_to_rays(features, point, posed, weight * fits, n)
        fits = posed.errors_px(features.image, features.uv, xyz[point]) < limit
        # an error of a pixel is one of an angle
        far = (xyz[point] - posed.poses.t[features.image]).norm(dim=-1)
        weight = 1 / far.clamp_min(1e-6) ** 2

    features, point = features[fits], point[fits]
    rgb = torch.zeros(n, 3).index_add_(0, point, features.rgb)
    rgb /= torch.bincount(point, minlength=n).clamp_min(1)[:, None]
    seen_by = tuple(torch.unique(point[features.image == i]) for i in range(len(posed.poses)))
    return SparsePoints(xyz.float(), rgb, seen_by, 'triangulated features').found_often()


def _nearest_to_rays(
    features: Features, point: Tensor, posed: PosedCamera, weight: Tensor, n: int
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
