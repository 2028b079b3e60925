# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rotation, translation and scale between two sets of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Similarity:
    """Takes points of frame b to frame a: ``x_a = scale * R x_b + t``.

    Attributes:
        scale: units of a per unit of b.
        R: rotation (3, 3).
        t: translation (3,) in units of a.
    """

    scale: float
    R: np.ndarray
    t: np.ndarray

    @classmethod
    def fit(cls, points_a: np.ndarray, points_b: np.ndarray) -> Similarity:
        """The one with the least squared distances (Umeyama 1991).

        Args:
            points_a: (N, 3), three of them not on a line, or the rotation is not determined.
            points_b: the same points in the other frame, (N, 3), not all at one place.
        """
        mean_a, mean_b = points_a.mean(axis=0), points_b.mean(axis=0)
        centred_a, centred_b = points_a - mean_a, points_b - mean_b
        U, strengths, Vt = np.linalg.svd(centred_a.T @ centred_b)
        signs = np.array([1.0, 1.0, np.sign(np.linalg.det(U @ Vt))])
        R = U @ np.diag(signs) @ Vt
        scale = float((strengths * signs).sum() / (centred_b**2).sum())

        return cls(scale, R, mean_a - scale * R @ mean_b)

    def transform(self, points_b: np.ndarray) -> np.ndarray:
        """Points (..., 3) of frame b in frame a."""
        return self.scale * points_b @ self.R.T + self.t
