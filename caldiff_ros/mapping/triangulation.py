# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points triangulated from features that several images with known poses share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.tracks import ImageFeatures, PosedCamera, Tracks, nearest_to_rays
from caldiff_ros.scenes.features import features_of, matches

#: Weaker features than usual: bare walls have no others, and the poses verify the matches.
_CONTRAST = 0.003
#: Features of an image, and about as many in all, which bounds time and memory.
_MOST_FEATURES, _FEWEST_FEATURES, _FEATURES_IN_ALL = 4000, 200, 400_000
#: An image is matched with this many others, those that look at the same from nearest by.
_NEIGHBORS = 10
#: How far a turn by one radian counts, as a share of the distance between the outermost cameras.
_RADIAN = 0.5
#: How far the point that two features share may lie from either, in pixels.
_MAX_ERROR_PX = 1.5

#: Called with the images and pairs that are done, and all.
Progress = Callable[[int, int], None]


def triangulated_tracks(
    images: Iterable[tuple[np.ndarray, np.ndarray]], posed: PosedCamera, progress: Progress
) -> Tracks:
    """Match features between neighbouring images, and triangulate what belongs together.

    Args:
        images: uint8 (H, W, 3), and which of their pixels may be used, bool (H, W); V of them.
        posed: their camera.
        progress: receives how many images and pairs are done.
    """
    n = len(posed.poses)
    pairs = neighbor_pairs(posed.poses.to(torch.float32))
    n_steps = n + len(pairs)
    features, descriptors = _all_features(images, posed, lambda done: progress(done, n_steps))
    first = torch.tensor([0, *(len(each) for each in descriptors)]).cumsum(0)
    links = []

    for done, (i, j) in enumerate(pairs, n + 1):
        in_i, in_j = matches(descriptors[i], descriptors[j])
        links.append(_consistent(torch.stack([first[i] + in_i, first[j] + in_j]), features, posed))
        progress(done, n_steps)

    point, used = _tracks(torch.cat(links, dim=1), len(features.image))
    return Tracks.fitted(posed, features[used], point, torch.cat(descriptors)[used])


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
) -> tuple[ImageFeatures, list[Tensor]]:
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
    return ImageFeatures(image, uv, posed.rays(image, uv), torch.cat(colors)), descriptors


def _consistent(links: Tensor, features: ImageFeatures, posed: PosedCamera) -> Tensor:
    """Those of the links (2, M) between features whose rays meet."""
    n = links.shape[1]
    both = features[links.flatten()]
    point = torch.arange(n).repeat(2)
    xyz = nearest_to_rays(both, point, posed, torch.ones(2 * n, dtype=torch.float64), n)
    good = posed.errors_px(both.image, both.uv, xyz[point]) < _MAX_ERROR_PX
    return links[:, good.view(2, n).all(dim=0)]


def _tracks(links: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Number of the point of each feature (M,) that is linked to others, and these of ``n``."""
    first, second = links.numpy()
    graph = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    used = np.unique(links.numpy())
    _, point = np.unique(component[used], return_inverse=True)
    return torch.from_numpy(point).long(), torch.from_numpy(used)
