# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a localization says while it runs and when it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np


class Status(IntEnum):
    """Outcome of a localization; the numbers are those of caldiff_ros/msg/Localization."""

    LOCALIZED = 1
    AMBIGUOUS = 2
    NOT_LOCALIZED = 3
    FAILED = 4


@dataclass(frozen=True)
class Hypothesis:
    """One refined candidate.

    Attributes:
        T_map_cam: pose of the optical camera in the map, (4, 4) float64, in map units.
        photometric_error: mean squared difference between render and query, colours in 0..1; large
            differences count less, see `LocalizerConfig.robust_scale`.
        confidence: 0..1, how sure it is that this pose is right, from its render alone.
    """

    T_map_cam: np.ndarray
    photometric_error: float
    confidence: float


@dataclass(frozen=True)
class Answer:
    """Result of `Localizer.localize`.

    Attributes:
        status: LOCALIZED if the pose can be trusted, AMBIGUOUS if another place
            explains the image as well.
        message: one sentence that explains the status.
        T_map_cam: best pose, (4, 4) float64; None if there is none at all.
        covariance: (6, 6) float64 of (x, y, z, rotation about the map's x, y, z), in map units and
            radians; None without a pose.
        confidence: 0..1, of the best pose, see `Hypothesis`; 0 if another focal length than that of
            the camera explains the image better.
        photometric_error: of the best pose, see `Hypothesis`.
        hypotheses: refined candidates at different places, best first.
        timings: seconds per stage, in order.
        rays: rendered for it.
    """

    status: Status
    message: str
    T_map_cam: np.ndarray | None = None
    covariance: np.ndarray | None = None
    confidence: float = 0.0
    photometric_error: float = float('nan')
    hypotheses: list[Hypothesis] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    rays: int = 0

    @property
    def seconds(self) -> float:
        """Total time in seconds."""
        return sum(self.timings.values())


#: Stages that observers see, and the share of the work that is done when each begins.
STAGES = {
    'initialization': 0.0,
    'diffusion': 0.05,
    'selection': 0.3,
    'refinement': 0.4,
    'answer': 0.95,
}


@dataclass(frozen=True)
class Particles:
    """The particles after a step of the algorithm, as an observer sees them.

    Attributes:
        stage: one of `STAGES`.
        step, n_steps: progress within the stage, ``1 <= step <= n_steps``.
        T_map_cam: (P, 4, 4) float64, optical cameras, map units.
        photometric_error: (P,) as in `Hypothesis`, or None where not known yet.
    """

    stage: str
    step: int
    n_steps: int
    T_map_cam: np.ndarray
    photometric_error: np.ndarray | None = None

    @property
    def progress(self) -> float:
        """Rough share of the whole localization that is done, 0..1; never falls."""
        begins = STAGES[self.stage]
        ends = min((share for share in STAGES.values() if share > begins), default=1.0)
        return begins + (ends - begins) * self.step / self.n_steps


Observer = Callable[[Particles], None]


class Cancelled(Exception):  # noqa: N818 - an outcome asked for, not an error
    """Raised out of a localization whose token was cancelled."""


class CancelToken:
    """Lets another thread stop a localization between two steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the localization to stop."""
        self._event.set()

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` once `cancel` was called."""
        if self._event.is_set():
            raise Cancelled
