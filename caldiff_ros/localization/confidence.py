# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How sure it is that a pose is right, learned per map from right and wrong ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

from caldiff_ros.localization.image_quality import ImageQuality
from caldiff_ros.localization.query import Query, error_of
from caldiff_ros.nerf.field import Rendering

#: Pixels along the edge of a window whose structure is compared, and from one window to the next.
_WINDOW_PX, _STRIDE_PX = 9, 3
#: Variance (colours in 0..1) that a window needs for its structure to count.
_NOISE = 1e-4
#: Logit of what cannot be known.
_NOTHING_IS_SURE = -50.0
#: `Calibration.matching_scale` where it was not measured.
USUAL_MATCHING_SCALE = 30.0
#: With fewer right poses than this nothing says what a right answer looks like.
FEWEST_RIGHT = 3


@dataclass(frozen=True)
class Evidence:
    """What speaks for poses (P,), from their renders.

    Attributes:
        error: photometric error of each as the query compares it, by which poses are ranked, (P,).
        squared_error: mean squared colour difference of each, whatever the preset, (P,): a
            calibration holds for this one. Large differences, which the robust error plays down,
            are what tells right from wrong where nothing stands in front.
        similarity: mean correlation of brightness in small windows, -1..1, (P,). It asks whether
            the same structure is in the same place, whatever the exposure; a low error may just
            mean that there is little to see.
    """

    error: Tensor
    squared_error: Tensor
    similarity: Tensor

    @classmethod
    def of(cls, rendering: Rendering, query: Query) -> Evidence:
        """Compare whole images of the query's camera, (P, H, W), with the query."""
        rgb = rendering.rgb
        pixels = query.seen_pixels
        squared = query.squared_differences(rgb.flatten(1, 2)[:, pixels], pixels)

        return cls(
            error=error_of(squared, query.robust_scale),
            squared_error=error_of(squared, robust_scale=None),
            similarity=_similarity(rgb.mean(-1), query.rgb.mean(-1), query.seen),
        )

    @classmethod
    def cat(cls, parts: Sequence[Evidence]) -> Evidence:
        """Concatenate."""
        names = [field.name for field in fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def __getitem__(self, index) -> Evidence:
        return Evidence(*(getattr(self, field.name)[index] for field in fields(self)))


def _similarity(a: Tensor, b: Tensor, seen: np.ndarray) -> Tensor:
    """Correlation of images (P, H, W) with one (H, W) over windows, weighted by contrast: (P,)."""
    window = min(_WINDOW_PX, *b.shape)  # of a tiny image, all there is

    def mean(images: Tensor) -> Tensor:
        return F.avg_pool2d(images[:, None], window, _STRIDE_PX)[:, 0]

    b = b[None]
    mean_a, mean_b = mean(a), mean(b)
    variance_a = (mean(a * a) - mean_a**2).clamp_min(0)
    variance_b = (mean(b * b) - mean_b**2).clamp_min(0)
    covariance = mean(a * b) - mean_a * mean_b
    correlation = covariance / ((variance_a + _NOISE) * (variance_b + _NOISE)).sqrt()
    covered = mean(torch.from_numpy(seen)[None].to(a)) > 0.999
    weight = (variance_a.sqrt() + variance_b.sqrt()) * covered

    return (correlation * weight).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1e-9)


Percentiles = tuple[float, float, float]


@dataclass(frozen=True)
class Logistic:
    """Probability that something is right, given one number that is high if it is.

    Attributes:
        bias, slope: the logit at x is ``bias + slope * x``.
    """

    bias: float
    slope: float

    @classmethod
    def fit(cls, right: np.ndarray, wrong: np.ndarray) -> Logistic:
        """Logistic regression on the numbers of right (R,) and wrong ones (W,), of equal weight.

        Without any right ones nothing makes it sure.

        The targets are Platt's (1999): a finite number of examples does not prove certainty, and
        where right and wrong are far apart the boundary lies between them. The slope is never
        negative.
        """
        if len(right) == 0:
            return cls(_NOTHING_IS_SURE, 0.0)

        x = np.concatenate([right, wrong])
        is_right = np.arange(len(x)) < len(right)
        target = np.where(is_right, (len(right) + 1) / (len(right) + 2), 1 / (len(wrong) + 2))
        weight = np.where(is_right, 0.5 / len(right), 0.5 / len(wrong))
        center = weight @ x
        spread = np.sqrt(weight @ (x - center) ** 2) + 1e-9
        design = np.column_stack([np.ones(len(x)), (x - center) / spread])

        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            logit = design @ w
            value = weight @ (np.logaddexp(0, logit) - target * logit)
            return value, design.T @ (weight * (expit(logit) - target))

        w = minimize(loss, np.zeros(2), jac=True, bounds=[(None, None), (0, None)]).x
        return cls(float(w[0] - w[1] * center / spread), float(w[1] / spread))

    def __call__(self, x: float) -> float:
        """Probability at ``x``, 0 if that is not finite."""
        return float(expit(self.bias + self.slope * x)) if math.isfinite(x) else 0.0


@dataclass(frozen=True)
class Calibration:
    """What right and wrong answers look like in a map.

    Attributes:
        error: how sure a mean squared error makes, from minus its logarithm.
        similarity: how sure a similarity makes, from its inverse hyperbolic tangent.
        covariance_scale: how many times `curvature_covariance` has to be enlarged here.
        matching_scale: the same of the covariance of matches, see `Matched`.
        right_error, wrong_error: 5th, 50th and 95th percentile of the mean squared errors of
            right poses and of the most deceptive wrong ones; for people who look. None
            without any right ones.
        right_similarity, wrong_similarity: the same of their similarities.
        n_right, n_wrong: how many were measured.
        image: the worst of the images that the map was made from.
    """

    error: Logistic
    similarity: Logistic
    covariance_scale: float
    matching_scale: float
    right_error: Percentiles | None
    wrong_error: Percentiles
    right_similarity: Percentiles | None
    wrong_similarity: Percentiles
    n_right: int
    n_wrong: int
    image: ImageQuality

    @classmethod
    def fit(
        cls,
        right: Evidence,
        wrong: Evidence,
        scales: tuple[float, float],
        image: ImageQuality,
    ) -> Calibration:
        """From the evidence for right poses (R,) and for wrong ones (W,), and the scales."""
        errors, similarities = (
            [getattr(evidence, name).double().cpu().numpy() for evidence in (right, wrong)]
            for name in ('squared_error', 'similarity')
        )
        return cls(
            error=Logistic.fit(*map(_closeness, errors)),
            similarity=Logistic.fit(*map(_likeness, similarities)),
            covariance_scale=scales[0],
            matching_scale=scales[1],
            right_error=_percentiles(errors[0]) if len(errors[0]) else None,
            wrong_error=_percentiles(errors[1]),
            right_similarity=_percentiles(similarities[0]) if len(similarities[0]) else None,
            wrong_similarity=_percentiles(similarities[1]),
            n_right=len(errors[0]),
            n_wrong=len(errors[1]),
            image=image,
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Calibration:
        """The inverse of `dataclasses.asdict`, also after a way through JSON."""
        # maps were made before matches were calibrated
        content = {'matching_scale': USUAL_MATCHING_SCALE} | content
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content.items()
        }
        parts: dict[str, Callable[..., Any]] = {
            'error': Logistic,
            'similarity': Logistic,
            'image': ImageQuality,
        }
        return cls(**values | {name: kind(**content[name]) for name, kind in parts.items()})

    @property
    def problem(self) -> str:
        """Why it says nothing, as a clause; empty if it does."""
        if self.right_error is None or self.right_similarity is None or self.n_right < FEWEST_RIGHT:
            return (
                f'only {self.n_right} of its held-out images could be aligned with the field, '
                f'expected at least {FEWEST_RIGHT}'
            )

        # near the truth any pose is right, even where the field shows nothing of the images
        _, right_error, _ = self.right_error
        _, right_similarity, _ = self.right_similarity
        lowest_error, highest_similarity = self.wrong_error[0], self.wrong_similarity[2]
        if right_error < lowest_error and right_similarity > highest_similarity:
            return ''
        return (
            'its field shows held-out images at right poses no better than at wrong ones (error '
            f'{right_error:.4f} and {lowest_error:.4f}, similarity {right_similarity:.2f} and '
            f'{highest_similarity:.2f})'
        )

    def confidences(self, evidence: Evidence) -> list[float]:
        """`confidence` of poses (P,), one by one."""
        pairs = zip(evidence.squared_error.tolist(), evidence.similarity.tolist(), strict=True)
        return [self.confidence(*pair) for pair in pairs]

    def confidence(self, squared_error: float, similarity: float) -> float:
        """0..1: how sure it is that a pose with this evidence is right.

        The lesser of what its error and its similarity say, as either alone can deceive: little to
        see makes any error small, and a common pattern is similar in many places. With a
        calibration that says nothing, see `problem`, it is 0.
        """
        if self.problem:
            return 0.0

        return min(
            self.error(float(_closeness(np.array(squared_error)))),
            self.similarity(float(_likeness(np.array(similarity)))),
        )


def _closeness(error: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(error, 1e-9))


def _likeness(similarity: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(similarity, -0.999, 0.999))


def _percentiles(values: np.ndarray) -> Percentiles:
    return tuple(np.percentile(values, [5, 50, 95]).tolist())
