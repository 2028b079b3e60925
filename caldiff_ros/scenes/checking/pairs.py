# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of images that show the same, found without trusting the poses, and their matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caldiff_ros.parallel import in_parallel
from caldiff_ros.scenes.checking.images import CheckedImage
from caldiff_ros.scenes.features import matches

#: Each image is paired with those this many frames later, as the dataset may be a video.
_FRAMES_LATER = (1, 2, 8)
#: It is also paired with this many that look most like it, and with this many of the nearest by the
#: poses, read as camera-to-world and as world-to-camera.
_LOOKING_ALIKE, _NEAREST = 3, 2
#: How far a turn by one radian counts, as a share of the distance between the outermost cameras.
_RADIAN = 0.5
#: Words of the vocabulary in which images are compared.
_WORDS = 32
#: A fundamental matrix is fitted to this many matches or more. It verifies the pair if this many
#: are inliers, and this share of all.
_FEWEST_TO_FIT, _FEWEST_VERIFIED, _VERIFIED_SHARE = 16, 20, 0.5
#: How far from its epipolar line a right match may be, in pixels.
_RANSAC_PX, _RANSAC_CONFIDENCE, _RANSAC_ITERATIONS = 1.0, 0.99, 500


@dataclass(frozen=True)
class ImagePair:
    """Two images and their matches.

    Attributes:
        i, j: numbers of the images.
        xy_i, xy_j: directions of the matches at z = 1, (M, 2) each.
        focal: mean focal length of the two images in pixels, to turn directions into pixels.
        verified: whether one epipolar geometry explains most matches, whatever the poses; only
            these matches are kept then.
    """

    i: int
    j: int
    xy_i: np.ndarray
    xy_j: np.ndarray
    focal: float
    verified: bool

    def __len__(self) -> int:
        return len(self.xy_i)


def matched_pairs(images: Sequence[CheckedImage], T_map_cam: np.ndarray) -> list[ImagePair]:
    """Pairs with a match at least.

    Args:
        images: (V,).
        T_map_cam: their poses (V, 4, 4), which propose pairs among others.
    """
    candidates = _candidates(images, T_map_cam)
    arguments = [(images[i], images[j], (i, j)) for i, j in candidates]
    if not arguments:
        return []

    pairs = in_parallel(match_images, arguments, torch.get_num_threads())
    return [pair for pair in pairs if len(pair)]


def match_images(
    first: CheckedImage, second: CheckedImage, numbers: tuple[int, int] = (0, 1)
) -> ImagePair:
    """The matches of two images, which bear these numbers."""
    in_first, in_second = (
        index.numpy() for index in matches(first.descriptors, second.descriptors)
    )
    xy_i, xy_j = first.xy[in_first], second.xy[in_second]
    focal = float(np.mean([c.fx + c.fy for c in (first.camera, second.camera)]) / 2)

    verified = False
    if len(in_first) >= _FEWEST_TO_FIT:
        right = _explained_by_one_geometry(xy_i * focal, xy_j * focal)
        verified = right.sum() >= max(_FEWEST_VERIFIED, _VERIFIED_SHARE * len(right))
        if verified:
            xy_i, xy_j = xy_i[right], xy_j[right]

    return ImagePair(*numbers, xy_i, xy_j, focal=focal, verified=bool(verified))


def _explained_by_one_geometry(uv_i: np.ndarray, uv_j: np.ndarray) -> np.ndarray:
    """Which matches (M, 2), (M, 2) in pixels the best fundamental matrix explains, bool (M,)."""
    _, inliers = cv2.findFundamentalMat(
        uv_i,
        uv_j,
        method=cv2.FM_RANSAC,
        ransacReprojThreshold=_RANSAC_PX,
        confidence=_RANSAC_CONFIDENCE,
        maxIters=_RANSAC_ITERATIONS,
    )
    return np.zeros(len(uv_i), bool) if inliers is None else inliers.ravel() > 0


def _candidates(images: Sequence[CheckedImage], T_map_cam: np.ndarray) -> list[tuple[int, int]]:
    """Pairs that may show the same: in order, by their looks, and by either reading of poses."""
    V = len(images)
    nearest = [_most_alike(_looks(images), _LOOKING_ALIKE)]
    for poses in (T_map_cam, np.linalg.inv(T_map_cam)):
        nearest.append(_most_alike(-_distances(poses), _NEAREST))

    found = {
        (min(i, int(j)), max(i, int(j)))
        for rows in nearest
        for i, row in enumerate(rows)
        for j in row
    }
    found |= {(i, i + step) for step in _FRAMES_LATER for i in range(V - step)}
    return sorted(found)


def _most_alike(likeness: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` others that each is most like, (V, count), from likenesses (V, V)."""
    others = likeness.copy()
    np.fill_diagonal(others, -np.inf)
    return np.argsort(-others, axis=1)[:, : min(count, len(others) - 1)]


def _distances(T: np.ndarray) -> np.ndarray:
    """How far apart cameras (V, 4, 4) are and look, (V, V). Turning the axes changes nothing."""
    R, t = T[:, :3, :3], T[:, :3, 3]
    cosine = (np.einsum('iab,jab->ij', R, R) - 1) / 2
    between = np.linalg.norm(t[:, None] - t[None], axis=-1)
    return between / max(between.max(), 1e-9) + _RADIAN * np.arccos(cosine.clip(-1, 1))


def _looks(images: Sequence[CheckedImage]) -> np.ndarray:
    """How alike images look, (V, V): by what their features differ from the words they are of."""
    all_descriptors = torch.cat([image.descriptors for image in images])
    if not len(all_descriptors):
        return np.zeros((len(images), len(images)))

    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(all_descriptors), generator=generator)[:_WORDS]
    words = all_descriptors[chosen]
    looks = torch.stack([_look(image.descriptors, words) for image in images])
    return (looks @ looks.T).numpy()


def _look(descriptors: Tensor, words: Tensor) -> Tensor:
    """An image in one vector (W * 128,), from its descriptors (F, 128) and words (W, 128)."""
    nearest = (descriptors @ words.T).argmax(dim=1)
    look = torch.zeros_like(words).index_add_(0, nearest, descriptors - words[nearest])
    return F.normalize(F.normalize(look, dim=1).flatten(), dim=0)
