# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What accompanies one localization: its random numbers, observer, cancel token and clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.answer import CancelToken, Observer, Particles
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.nerf.field import RadianceField, Rendering, render_in_parts

#: Rays between two looks at the cancel token: about 0.2 s on two cores.
_RAYS_ON_CPU, _RAYS_ON_CUDA = 1 << 14, 1 << 20


@dataclass
class Run:
    """One localization.

    Attributes:
        map: the map, for the frame of what observers see.
        generator: the only source of random numbers.
        observer: receives the particles after every step, or None.
        cancel: stops the run between two steps, or None.
        timings: seconds per stage so far.
        rays: rendered so far.
    """

    map: LocalizationMap
    generator: torch.Generator
    observer: Observer | None = None
    cancel: CancelToken | None = None
    timings: dict[str, float] = field(default_factory=dict)
    rays: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        start = time.perf_counter()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - start

    @property
    def field(self) -> RadianceField:
        """The field of the map, which stops rendering once the run is cancelled."""
        return _Watched(self.map.field, self._about_to_render)

    def _about_to_render(self, n_rays: int) -> None:
        self.raise_if_cancelled()
        self.rays += n_rays

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` once the run's token was used."""
        if self.cancel is not None:
            self.cancel.raise_if_cancelled()

    def tell(
        self,
        stage: str,
        step: int,
        n_steps: int,
        T_norm_cam: Pose,
        errors: Tensor | None = None,
    ) -> None:
        """Show the particles (P,) to the observer.

        Raises:
            Cancelled: if the run was cancelled.
        """
        self.raise_if_cancelled()
        if self.observer is not None:
            poses = self.map.to_map(T_norm_cam)
            shown = None if errors is None else errors.detach().cpu().numpy()
            self.observer(Particles(stage, step, n_steps, poses, shown))


class _Watched:
    """A field that renders some rays at a time and tells ``before`` how many; that may raise."""

    def __init__(self, field: RadianceField, before: Callable[[int], None]) -> None:
        self.kind, self.background, self.aabb = field.kind, field.background, field.aabb
        self._field, self._before = field, before

    def render(self, origins: Tensor, directions: Tensor, sampling: float = 1.0) -> Rendering:
        """See `RadianceField.render`."""

        def render(origins: Tensor, directions: Tensor) -> Rendering:
            self._before(len(origins))
            return self._field.render(origins, directions, sampling)

        rays_at_once = _RAYS_ON_CUDA if origins.is_cuda else _RAYS_ON_CPU
        return render_in_parts(render, origins, directions, rays_at_once)
