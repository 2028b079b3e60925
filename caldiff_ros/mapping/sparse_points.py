# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The points that features of the training views have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Normalization
from caldiff_ros.scenes.scene import ScenePoints

#: A point that fewer views have found is often a wrong one.
_LEAST_VIEWS = 3
#: With fewer points than this they show too little of a scene.
_FEWEST = 300


@dataclass(frozen=True)
class SparsePoints:
    """Points that were triangulated from at least three of the views.

    Attributes:
        xyz: (N, 3), normalized coordinates.
        rgb: their colours in 0..1, (N, 3).
        seen_by: for each view, indices of the points that were found in it.
        source: where they come from, for reports.
    """

    xyz: Tensor
    rgb: Tensor
    seen_by: tuple[Tensor, ...]
    source: str = 'structure from motion'

    def __len__(self) -> int:
        return len(self.xyz)

    @classmethod
    def of(
        cls, points: ScenePoints, names: Sequence[str], normalization: Normalization
    ) -> SparsePoints:
        """Those of the points of a scene that training frames have found; others do not count.

        Args:
            points: of the scene.
            names: of the training frames.
            normalization: from the map.
        """
        nothing = np.empty(0, np.int64)
        # far-off origins are exact in double precision only
        xyz = normalization.points_to_norm(torch.from_numpy(points.xyz)).float()
        rgb = torch.from_numpy(points.rgb).float() / 255
        seen_by = tuple(torch.from_numpy(points.seen_by.get(name, nothing)) for name in names)
        return cls(xyz, rgb, seen_by).found_often()

    def found_often(self) -> SparsePoints:
        """Those of them that at least three views have found, or both of two."""
        n_views = torch.bincount(torch.cat(self.seen_by), minlength=len(self))
        often = n_views >= min(_LEAST_VIEWS, len(self.seen_by))
        index = often.cumsum(0) - 1
        seen_by = tuple(index[indices[often[indices]]] for indices in self.seen_by)
        return replace(self, xyz=self.xyz[often], rgb=self.rgb[often], seen_by=seen_by)

    def subset(self, chosen: Tensor) -> SparsePoints:
        """Those that the ``chosen`` views, bool (V,), have found."""
        seen_by = tuple(self.seen_by[i] for i in chosen.nonzero()[:, 0].tolist())
        return replace(self, seen_by=seen_by).found_often()

    @property
    def are_enough(self) -> bool:
        """Whether they show a scene."""
        return len(self) >= _FEWEST
