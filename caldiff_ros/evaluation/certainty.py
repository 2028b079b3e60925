# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How sure the answers to queries are, and whether they may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caldiff_ros.evaluation.metrics import is_right
from caldiff_ros.evaluation.protocol import QueryResult
from caldiff_ros.localization.answer import Status


@dataclass(frozen=True)
class Certainty:
    """Statuses and covariances of answers, held against their errors.

    Attributes:
        n_right: answers that `is_right`, whatever their status.
        n_right_localized: those of them that are LOCALIZED.
        n_localized: answers that are LOCALIZED, right or wrong.
        n_wrongly_sure: those of them that are wrong.
        highest_wrong_confidence: the largest of a wrongly sure one; None without.
        mean_nees: of right answers that have a covariance, 6 where it is true; None without. What
            a wrong one is off by is no error of its covariance.
        median_nees: the same, which a single answer does not spoil.
    """

    n_right: int
    n_right_localized: int
    n_localized: int
    n_wrongly_sure: int
    highest_wrong_confidence: float | None
    mean_nees: float | None
    median_nees: float | None

    @classmethod
    def of(cls, queries: Sequence[QueryResult]) -> Certainty:
        """Count the answers to queries; any number of them."""
        right = [q for q in queries if is_right(q.translation_norm, q.rotation_deg)]
        localized = [q for q in queries if q.status == Status.LOCALIZED.name]
        wrongly_sure = [q for q in localized if not is_right(q.translation_norm, q.rotation_deg)]
        nees = [q.nees for q in right if np.isfinite(q.nees)]

        return cls(
            n_right=len(right),
            n_right_localized=len(localized) - len(wrongly_sure),
            n_localized=len(localized),
            n_wrongly_sure=len(wrongly_sure),
            highest_wrong_confidence=max((q.confidence for q in wrongly_sure), default=None),
            mean_nees=float(np.mean(nees)) if nees else None,
            median_nees=float(np.median(nees)) if nees else None,
        )

    @property
    def right_localized_percent(self) -> float | None:
        """Share of the right answers that is LOCALIZED; None where none is right."""
        return 100 * self.n_right_localized / self.n_right if self.n_right else None
