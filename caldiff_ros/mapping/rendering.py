# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rendering of many views, which goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.mapping.context import BuildContext, Checkpoint
from caldiff_ros.nerf.field import RadianceField, Rendering


@dataclass(frozen=True)
class RenderingJob:
    """Views to be rendered.

    Attributes:
        stage: what the progress is reported as.
        T_norm_cam: poses (V,).
        camera: camera of all of them.
        at_once: views in a batch.
        between_saves: views after which what there is is saved.
    """

    stage: str
    T_norm_cam: Pose
    camera: Camera
    at_once: int
    between_saves: int


def render_job(
    field: RadianceField,
    job: RenderingJob,
    keep: Callable[[Rendering], dict[str, Tensor]],
    saved: Checkpoint,
    context: BuildContext,
) -> dict[str, Tensor]:
    """Render views and keep something of each.

    Args:
        field: what is rendered.
        job: the views.
        keep: what is kept of a batch, (B, ...) each, by name.
        saved: to resume from and to save to.
        context: receives the progress.

    Returns:
        What was kept of all views, (V, ...) each, on the CPU.
    """
    parts = {name: [value] for name, value in (saved.load() or {}).items()}
    done = len(next(iter(parts.values()))[0]) if parts else 0
    n = len(job.T_norm_cam)
    if done < n:
        context.begin(job.stage)

    for start in range(done, n, job.at_once):
        stop = min(start + job.at_once, n)
        rendered = field.render(job.T_norm_cam[start:stop], job.camera)
        for name, value in keep(rendered).items():
            parts.setdefault(name, []).append(value.cpu())

        context.progress(job.stage, stop, n)
        if stop // job.between_saves > start // job.between_saves or stop == n:
            parts = {name: [torch.cat(values)] for name, values in parts.items()}
            saved.save({name: values[0] for name, values in parts.items()})

    return {name: torch.cat(values) for name, values in parts.items()}
