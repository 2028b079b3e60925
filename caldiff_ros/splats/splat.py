# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Gaussians of a splat file, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from caldiff_ros.errors import CaldiffError
from caldiff_ros.splats.harmonics import rotated_harmonics

#: Largest deviation from a rotation that is taken for rounding.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Splat:
    """Gaussians as 3DGS trains them (arXiv 2308.04079), float32, in the frame and unit of the file.

    Attributes:
        means: centres, (N, 3).
        log_scales: natural logarithms of the standard deviations along the axes, (N, 3).
        quaternions: of the axes, (N, 4), w first, of norm 1.
        logits: of the opacities, (N,).
        harmonics: spherical harmonics of the colours less 0.5, (N, K, 3), K = 1, 4, 9 or 16, in the
            order and with the signs of 3DGS.
        antialiased: whether they were trained with the anti-aliasing of Mip-Splatting (arXiv
            2311.16493) and have to be rendered with it; None if the file does not record it.
    """

    means: np.ndarray
    log_scales: np.ndarray
    quaternions: np.ndarray
    logits: np.ndarray
    harmonics: np.ndarray
    antialiased: bool | None = None

    def __len__(self) -> int:
        return len(self.means)

    def __getitem__(self, chosen: np.ndarray | slice) -> Splat:
        """Some of the Gaussians, by a mask (N,), numbers or a slice."""
        return Splat(
            self.means[chosen],
            self.log_scales[chosen],
            self.quaternions[chosen],
            self.logits[chosen],
            self.harmonics[chosen],
            self.antialiased,
        )

    @property
    def sh_degree(self) -> int:
        """Degree of the harmonics, 0 to 3."""
        return round(self.harmonics.shape[1] ** 0.5) - 1

    def transformed(self, S_new_old: np.ndarray) -> Splat:
        """The same Gaussians in another frame and unit.

        Args:
            S_new_old: (4, 4), takes points of the present frame to the new one: rotation times
                scale, and translation.

        Raises:
            CaldiffError: if it is something else, such as a mirror image.
        """
        scale, R, t = _parts(S_new_old)
        means = scale * self.means @ R.T + t
        log_scales = self.log_scales + np.float32(np.log(scale))

        return replace(
            self,
            means=means.astype(np.float32),
            log_scales=log_scales.astype(np.float32, copy=False),
            quaternions=_turned(R, self.quaternions),
            harmonics=rotated_harmonics(self.harmonics, R),
        )


def unit(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4) of norm 1, float32; of those that are zero or not finite, NaN or zero."""
    norm = np.linalg.norm(quaternions, axis=1, keepdims=True)
    with np.errstate(invalid='ignore'):
        return np.divide(quaternions, norm, out=np.zeros_like(quaternions), where=norm > 0)


def _turned(R: np.ndarray, quaternions: np.ndarray) -> np.ndarray:
    """Quaternions (N, 4) of axes that were turned by R: its own times each."""
    x, y, z, w = Rotation.from_matrix(R).as_quat().astype(np.float32)
    product = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
    return quaternions @ product.T


def _parts(S: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (3, 3) and translation (3,) of a similarity."""
    S = np.asarray(S, np.float64)
    valid = S.shape == (4, 4) and np.isfinite(S).all() and np.allclose(S[3], [0, 0, 0, 1])
    scale = np.cbrt(np.linalg.det(S[:3, :3])) if valid else 0.0
    if scale <= 0 or not np.allclose(
        S[:3, :3].T @ S[:3, :3], scale**2 * np.eye(3), atol=_TOLERANCE * scale**2
    ):
        raise CaldiffError(
            f'the transform {S.tolist()} is not a similarity, expected a 4x4 matrix of a scaled '
            'rotation without reflection, and a translation; check it'
        )

    return float(scale), S[:3, :3] / scale, S[:3, 3]
