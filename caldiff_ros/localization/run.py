# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What accompanies one localization: its random numbers, observer, cancel token and clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.answer import CancelToken, Observer, Particles
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.nerf.bounded_view import BoundedView
from caldiff_ros.nerf.field import BeforePart, RadianceField, Rendering, render_on


@dataclass
class Run:
    """One localization.

    Attributes:
        map: the map, for the frame of what observers see.
        generator: the only source of random numbers.
        observer: receives the particles after every step, or None.
        cancel: stops the run between two steps, or None.
        mask: pixels of the image to use, bool (H, W) at any resolution; None takes the map's.
        timings: seconds per stage so far.
        rays: rendered so far.
    """

    map: LocalizationMap
    generator: torch.Generator
    observer: Observer | None = None
    cancel: CancelToken | None = None
    mask: np.ndarray | None = None
    timings: dict[str, float] = field(default_factory=dict)
    rays: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        start = time.perf_counter()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - start

    @contextmanager
    def unobserved(self) -> Iterator[None]:
        """Observers see nothing of what was a stage before: progress goes forward only."""
        observer, self.observer = self.observer, None
        try:
            yield
        finally:
            self.observer = observer

    @property
    def field(self) -> RadianceField:
        """The field of the map, which stops rendering once the run is cancelled."""
        return _Watched(self.map.field, self._about_to_render)

    def _about_to_render(self, n_pixels: int) -> None:
        self.raise_if_cancelled()
        with self._lock:  # threads render at once
            self.rays += n_pixels

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` once the run's token was used."""
        if self.cancel is not None:
            self.cancel.raise_if_cancelled()

    def notify(
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
            self.observer(Particles(stage, step, n_steps, T_map_cam=poses, photometric_error=shown))


class _Watched:
    """A field that says before each part of a rendering how many pixels that has.

    Args:
        field: what renders.
        watch: is told; what it raises ends the rendering.
    """

    def __init__(self, field: RadianceField, watch: BeforePart) -> None:
        self.kind = field.kind
        self.renders_rays = field.renders_rays
        self.differentiable = field.differentiable
        self.renderer = field.renderer
        self.background = field.background
        self.aabb = field.aabb
        self._field = field
        self._watch = watch

    def render(self, T_norm_cam: Pose, camera: Camera, before: BeforePart = render_on) -> Rendering:
        """See `RadianceField.render`."""
        return self._field.render(T_norm_cam, camera, before=self._both(before))

    def render_pixels(
        self, T_norm_cam: Pose, camera: Camera, pixels: Tensor, before: BeforePart = render_on
    ) -> Rendering:
        """See `RadianceField.render_pixels`."""
        return self._field.render_pixels(T_norm_cam, camera, pixels, before=self._both(before))

    def bounded_view(self, camera: Camera, n_poses: int) -> BoundedView | None:
        """See `RadianceField.bounded_view`."""
        view = self._field.bounded_view(camera, n_poses)
        if view is not None:
            view.watch = self._watch
        return view

    def _both(self, before: BeforePart) -> BeforePart:
        def watch(n_pixels: int) -> None:
            self._watch(n_pixels)
            before(n_pixels)

        return watch
