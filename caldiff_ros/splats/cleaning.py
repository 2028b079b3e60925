# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussians that show nothing, or what cannot be there, are left out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.splats.splat import Splat, unit
from caldiff_ros.wording import counted

#: Renderers skip what is fainter than a step of eight bits.
_LEAST_OPACITY = 1 / 255
#: A needle is this many times as long as its second axis. In two splats that OpenSplat made,
#: leaving these out cost 0.005 dB on held-out photographs, but those beyond 50 up to 0.08 dB and
#: beyond 20 up to 0.2 dB: shorter ones are edges and wires, and belong to the scene.
_NEEDLE = 100.0
#: A deviation of this many times the diagonal of the box that holds nine tenths of the centres on
#: each axis. Skies and walls in the distance have a few.
_TOO_LARGE = 10.0
_BOX_PERCENTILES = (5, 95)
#: Flat and fully opaque Gaussians, whose logarithms are infinite, are held to these. SuperSplat
#: writes no lower scales, and the opacity is 1 but for a millionth.
_LEAST_LOG_SCALE = -20.0
_LARGEST_LOGIT = 14.0


@dataclass(frozen=True)
class CleaningCounts:
    """How many Gaussians were left out, each for the first reason that holds."""

    not_finite: int
    transparent: int
    needles: int
    too_large: int

    @property
    def total(self) -> int:
        """All that were left out."""
        return self.not_finite + self.transparent + self.needles + self.too_large

    def __str__(self) -> str:
        """One line for people."""
        reasons = {
            'not finite': self.not_finite,
            'transparent': self.transparent,
            'needle-like': self.needles,
            'larger than the scene': self.too_large,
        }
        told = ', '.join(f'{count} {reason}' for reason, count in reasons.items() if count)
        return f'{counted(self.total, "Gaussian")} left out' + (f': {told}' if told else '')


def cleaned(splat: Splat) -> tuple[Splat, CleaningCounts]:
    """A splat without what is broken, and what was left out.

    Numbers that are not finite do not make sense, but for two: an opacity of 1 and a flat axis have
    infinite logarithms, and stay. Quaternions get norm 1; one that is zero is not finite.

    Raises:
        CaldiffError: if nothing is left.
    """
    quaternions = unit(splat.quaternions)
    log_scales = np.maximum(splat.log_scales, _LEAST_LOG_SCALE)
    logits = np.minimum(splat.logits, _LARGEST_LOGIT)

    finite = ~np.isnan(logits) & np.isfinite(log_scales).all(axis=1)
    finite &= np.isfinite(splat.means).all(axis=1) & np.isfinite(splat.harmonics).all(axis=(1, 2))
    finite &= np.isfinite(quaternions).all(axis=1) & quaternions.any(axis=1)
    visible = finite & (logits > np.log(_LEAST_OPACITY / (1 - _LEAST_OPACITY)))
    ordered = np.sort(log_scales, axis=1)
    slender = visible & (ordered[:, 2] - ordered[:, 1] <= np.log(_NEEDLE))
    kept = slender & (ordered[:, 2] <= _largest_log_scale(splat.means[slender]))

    if not kept.any():
        raise CaldiffError(
            f'none of the {counted(len(splat), "Gaussian")} of the splat is visible, expected '
            'some that are finite and opaque; export it again'
        )

    numbers = [int(mask.sum()) for mask in (finite, visible, slender, kept)]
    counts = CleaningCounts(*(-np.diff([len(splat), *numbers])).tolist())
    if not counts.total:
        kept = slice(None)  # without a copy
    whole = replace(splat, log_scales=log_scales, quaternions=quaternions, logits=logits)
    return whole[kept], counts


def _largest_log_scale(means: np.ndarray) -> float:
    """Beyond it a Gaussian has no place in the scene."""
    if len(means) < 2:
        return np.inf

    low, high = np.percentile(means, _BOX_PERCENTILES, axis=0)
    diagonal = np.linalg.norm(high - low)
    return float(np.log(_TOO_LARGE * diagonal)) if diagonal > 0 else np.inf
