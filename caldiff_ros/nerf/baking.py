# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Baking: a factorized field that shows what another field shows, and needs only torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf.bounds import depth_bounds
from caldiff_ros.nerf.factorized import FactorizedField
from caldiff_ros.nerf.field import RadianceField, Rendering, pixel_directions
from caldiff_ros.nerf.rendering import RenderingJob, render_job
from caldiff_ros.nerf.training import FactorizedTraining, train_field
from caldiff_ros.nerf.views import Views
from caldiff_ros.training import Checkpoint, Report, no_report

#: A pixel whose ray is less opaque has no depth.
_MIN_OPACITY = 0.5
_CHECKPOINT_INTERVAL = 10


def bake(
    field: RadianceField,
    T_norm_cam: Pose,
    camera: Camera,
    aabb: Tensor,
    training: FactorizedTraining,
    background: str,
    seed: int = 0,
    device: torch.device | str = 'cpu',
    work: Path | None = None,
    report: Report = no_report,
) -> FactorizedField:
    """Train a factorized field on colour and depth that ``field`` renders.

    Args:
        field: the field to imitate, such as nerfacto.
        T_norm_cam: poses (V,) to render from, all over the region where cameras will be.
        camera: camera of the renders.
        aabb: box that the scene cannot leave, (2, 3), normalized coordinates; it is shrunk to what
            the renders show.
        training: size and length of the training; rendered depth is exact, so say so.
        background: 'white', 'black' or 'none', what the result shows behind the scene.
        seed: of everything random.
        device: where to compute.
        work: folder to resume from and to save to.
        report: receives the progress of 'baking' and the training's 'loss'.

    Returns:
        The field on ``device``, its parameters frozen.
    """
    identity = f'rgb and depth {camera} {T_norm_cam.matrix().tolist()}'
    renders = Checkpoint(None if work is None else work / 'renders.ckpt', identity)
    views = rendered_views(field, T_norm_cam.to(device), camera, renders, report)
    shown = depth_bounds(views)
    aabb = torch.stack([torch.maximum(shown[0], aabb[0]), torch.minimum(shown[1], aabb[1])])
    checkpoint = None if work is None else work / 'field.ckpt'
    views = replace(views, depth=views.depth * _ends_in(aabb, views))
    return train_field(views, None, aabb, background, training, seed, device, checkpoint, report)


def _ends_in(aabb: Tensor, views: Views) -> Tensor:
    """Pixels whose depth lies in a box, (V, H, W)."""
    directions = pixel_directions(views.camera).view(*views.rgb.shape[1:])
    points = views.depth[..., None] * torch.einsum('vij,hwj->vhwi', views.T_norm_cam.R, directions)
    points = points + views.T_norm_cam.t[:, None, None]
    return ((points > aabb[0]) & (points < aabb[1])).all(dim=-1)


def rendered_views(
    field: RadianceField,
    T_norm_cam: Pose,
    camera: Camera,
    saved: Checkpoint,
    report: Report = no_report,
) -> Views:
    """What a field shows from poses (V,), as if it had been photographed with depth."""

    def keep(out: Rendering) -> dict[str, Tensor]:
        depth = torch.where(out.opacity > _MIN_OPACITY, out.depth, 0)
        return {'rgb': out.rgb.clamp(0, 1), 'depth': depth}

    job = RenderingJob('baking', T_norm_cam, camera, at_once=1, between_saves=_CHECKPOINT_INTERVAL)
    kept = render_job(field, job, keep, saved, report)
    seen = torch.ones_like(kept['depth']).bool()
    return Views(camera, T_norm_cam.to('cpu'), kept['rgb'], None, seen, kept['depth'])
