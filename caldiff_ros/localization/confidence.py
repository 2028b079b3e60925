# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How sure it is that a pose is right, learned per map from right and wrong ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

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
#: Share of a window that must have been seen.
_SEEN = 0.999
#: Logit of what cannot be known.
_NOTHING_IS_SURE = -50.0
#: `Calibration.matching_scale` where it was not measured.
USUAL_MATCHING_SCALE = 30.0
#: With fewer right poses than this nothing says what a right answer looks like.
FEWEST_RIGHT = 3


@dataclass(frozen=True)
class Evidence:
    """What speaks for poses (P,), from their renders.

    A calibration holds for the last two, whatever the preset. Both are medians over small windows,
    weighted by the contrast of the image and the render there, so that they say what most of the
    scene says: what stands in front of a part of it does not count, nor does what shows nothing.

    Attributes:
        error: photometric error of each as the query compares it, by which poses are ranked, (P,).
        difference: mean squared difference of the colours in windows, (P,).
        similarity: correlation of the brightness in windows, -1..1, (P,). It asks whether the same
            structure is in the same place, whatever the exposure; a small difference may just mean
            that there is little to see.
    """

    error: Tensor
    difference: Tensor
    similarity: Tensor

    @classmethod
    def of(cls, rendering: Rendering, query: Query) -> Evidence:
        """Compare whole images of the query's camera, (P, H, W), with the query."""
        seen = torch.from_numpy(query.seen).to(rendering.rgb)
        weight = seen.view(-1, 1)
        target = query.rgb.view(-1, 3)
        exposed = query.exposed(rendering.rgb.flatten(1, 2), target, weight)
        squared = (exposed - target) ** 2
        images = exposed.view_as(rendering.rgb)

        return cls(
            error_of(squared[:, query.seen_pixels], query.robust_scale),
            *_agreement(images, query.rgb, squared.view_as(images).mean(-1), seen),
        )

    @classmethod
    def cat(cls, parts: Sequence[Evidence]) -> Evidence:
        """Concatenate."""
        names = [field.name for field in fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def __getitem__(self, index) -> Evidence:
        return Evidence(*(getattr(self, field.name)[index] for field in fields(self)))


def _agreement(
    images: Tensor, image: Tensor, squared: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """`Evidence.difference` and `Evidence.similarity`, (P,) each.

    Args:
        images: exposed renders, (P, H, W, 3).
        image: the query, (H, W, 3).
        squared: their mean squared differences, (P, H, W).
        seen: 1 where the query was seen, (H, W).
    """
    window = min(_WINDOW_PX, *seen.shape)  # of a tiny image, all there is

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values[:, None], window, _STRIDE_PX)[:, 0].flatten(1)

    a, b = images.mean(-1), image.mean(-1)[None]
    mean_a, mean_b = mean(a), mean(b)
    variance_a = (mean(a * a) - mean_a**2).clamp_min(0)
    variance_b = (mean(b * b) - mean_b**2).clamp_min(0)
    covariance = mean(a * b) - mean_a * mean_b
    correlation = covariance / ((variance_a + _NOISE) * (variance_b + _NOISE)).sqrt()
    contrast = (variance_a.sqrt() + variance_b.sqrt()) * (mean(seen[None]) > _SEEN)

    return _median(mean(squared), contrast), _median(correlation, contrast)


def _median(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted median of values (P, W), (P,)."""
    values, order = values.sort(1)
    # where nothing has weight, all are alike
    below = (weights.gather(1, order) + torch.finfo(weights.dtype).tiny).cumsum(1)
    middle = (below >= below[:, -1:] / 2).int().argmax(1, keepdim=True)

    return values.gather(1, middle)[:, 0]


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


class Scales(NamedTuple):
    """How many times covariances of poses are too small.

    Attributes:
        aligned: of the photometric error, see `curvature_covariance`.
        matched: of matches with renders, see `Matched`.
        landmarks: of matches with landmarks.
        fused: of what all of these agree on, once each is as large as it has to be: they rest on
            the same images, and err together.
    """

    aligned: float
    matched: float = USUAL_MATCHING_SCALE
    landmarks: float = USUAL_MATCHING_SCALE
    fused: float = 1.0


@dataclass(frozen=True)
class Calibration:
    """What right and wrong answers look like in a map.

    Attributes:
        difference: how sure a difference makes, from minus its logarithm, see `Evidence`.
        similarity: how sure a similarity makes, from its inverse hyperbolic tangent.
        covariance_scale: how many times `curvature_covariance` has to be enlarged here.
        matching_scale: the same of the covariance of matches with renders, see `Matched`.
        right_difference, wrong_difference: 5th, 50th and 95th percentile of the differences at
            right poses and at the most deceptive wrong ones; for people who look. None
            without any right ones.
        right_similarity, wrong_similarity: the same of their similarities.
        n_right, n_wrong: how many were measured.
        image: the worst of the images that the map was made from.
        landmark_scale: as ``matching_scale``, of matches with landmarks.
        fused_scale: how many times the covariance of what all of them agree on has to be enlarged.
    """

    difference: Logistic
    similarity: Logistic
    covariance_scale: float
    matching_scale: float
    right_difference: Percentiles | None
    wrong_difference: Percentiles
    right_similarity: Percentiles | None
    wrong_similarity: Percentiles
    n_right: int
    n_wrong: int
    image: ImageQuality
    landmark_scale: float = USUAL_MATCHING_SCALE
    fused_scale: float = 1.0

    @classmethod
    def fit(
        cls,
        right: Evidence,
        wrong: Evidence,
        scales: Scales,
        image: ImageQuality,
        disturbed: Evidence | None = None,
    ) -> Calibration:
        """From the evidence for poses.

        Args:
            right: for right poses, (R,).
            wrong: for wrong ones, (W,).
            scales: how many times covariances are too small.
            image: the worst image.
            disturbed: for right poses of images that are hidden in part or blurred: to be trusted
                as well, though not what right answers usually look like.
        """

        def numbers(evidence: Evidence) -> dict[str, np.ndarray]:
            return {
                name: getattr(evidence, name).double().cpu().numpy()
                for name in ('difference', 'similarity')
            }

        of_right, of_wrong = numbers(right), numbers(wrong)
        trusted = of_right if disturbed is None else numbers(Evidence.cat([right, disturbed]))
        shown = {name: _percentiles(values) for name, values in of_right.items() if len(values)}

        return cls(
            difference=Logistic.fit(
                _closeness(trusted['difference']), _closeness(of_wrong['difference'])
            ),
            similarity=Logistic.fit(
                _likeness(trusted['similarity']), _likeness(of_wrong['similarity'])
            ),
            covariance_scale=scales.aligned,
            matching_scale=scales.matched,
            landmark_scale=scales.landmarks,
            fused_scale=scales.fused,
            right_difference=shown.get('difference'),
            wrong_difference=_percentiles(of_wrong['difference']),
            right_similarity=shown.get('similarity'),
            wrong_similarity=_percentiles(of_wrong['similarity']),
            n_right=len(right.error),
            n_wrong=len(wrong.error),
            image=image,
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Calibration:
        """The inverse of `dataclasses.asdict`, also after a way through JSON."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content.items()
        }
        parts: dict[str, Callable[..., Any]] = {
            'difference': Logistic,
            'similarity': Logistic,
            'image': ImageQuality,
        }
        return cls(**values | {name: kind(**content[name]) for name, kind in parts.items()})

    @property
    def problem(self) -> str:
        """Why it says nothing, as a clause; empty if it does."""
        right, similar = self.right_difference, self.right_similarity
        if right is None or similar is None or self.n_right < FEWEST_RIGHT:
            return (
                f'only {self.n_right} of its held-out images could be aligned with the field, '
                f'expected at least {FEWEST_RIGHT}'
            )

        # near the truth any pose is right, even where the field shows nothing of the images
        least_wrong, most_similar = self.wrong_difference[0], self.wrong_similarity[2]
        if right[1] < least_wrong and similar[1] > most_similar:
            return ''
        return (
            'its field shows held-out images at right poses no better than at wrong ones '
            f'(difference {right[1]:.4f} and {least_wrong:.4f}, similarity {similar[1]:.2f} and '
            f'{most_similar:.2f})'
        )

    def confidences(self, evidence: Evidence) -> list[float]:
        """`confidence` of poses (P,), one by one."""
        pairs = zip(evidence.difference.tolist(), evidence.similarity.tolist(), strict=True)
        return [self.confidence(*pair) for pair in pairs]

    def confidence(self, difference: float, similarity: float) -> float:
        """0..1: how sure it is that a pose with this evidence is right, see `Evidence`.

        The lesser of what both say, as either alone can deceive: little to see makes any difference
        small, and a common pattern is similar in many places. With a calibration that says nothing,
        see `problem`, it is 0.
        """
        if self.problem:
            return 0.0

        return min(
            self.difference(float(_closeness(np.array(difference)))),
            self.similarity(float(_likeness(np.array(similarity)))),
        )


def _closeness(difference: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(difference, 1e-9))


def _likeness(similarity: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(similarity, -0.999, 0.999))


def _percentiles(values: np.ndarray) -> Percentiles:
    return tuple(np.percentile(values, [5, 50, 95]).tolist())
