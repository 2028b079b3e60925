# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Baking: a native field that shows what another field shows, and needs only torch."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.mapping.bounds import depth_bounds
from caldiff_ros.mapping.context import BuildContext, Checkpoint
from caldiff_ros.mapping.field_training import FieldTraining, FieldViews
from caldiff_ros.mapping.rendering import RenderingJob, render_job
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.field import RadianceField, Rendering, pixel_directions

#: A pixel whose ray is less opaque has no depth.
_MIN_OPACITY = 0.5
_CHECKPOINT_INTERVAL = 10


def bake(
    field: RadianceField,
    T_norm_cam: Pose,
    data: FieldViews,
    training: FieldTraining,
    context: BuildContext,
) -> RadianceField:
    """Train a native field on colour and depth that ``field`` renders.

    Args:
        field: the field to imitate, such as nerfacto.
        T_norm_cam: poses (V,) to render from, all over the region where cameras will be.
        data: camera of the renders, box that the scene cannot leave (it is shrunk to what the
            renders show), and background of the result.
        training: of the native field; rendered depth is exact, so say so.
        context: receives the progress of 'baking' and the training's 'loss'.

    Returns:
        The field on the context's device, its parameters frozen.
    """
    renders = context.checkpoint('baking', field, field.background, data.views.camera, T_norm_cam)
    views = photographed(
        field, T_norm_cam.to(context.device), data.views.camera, saved=renders, context=context
    )

    shown = depth_bounds(views)
    low = torch.maximum(shown[0], data.aabb[0])
    high = torch.minimum(shown[1], data.aabb[1])
    aabb = torch.stack([low, high])
    views = replace(views, depth=views.require_depth() * _ends_in(aabb, views))

    baked = FieldViews(views=views, aabb=aabb, background=data.background)
    return training.train(baked, context.within('baking'))


def _ends_in(aabb: Tensor, views: Views) -> Tensor:
    """Pixels whose depth lies in a box, (V, H, W)."""
    directions = pixel_directions(views.camera).view(*views.rgb.shape[1:])
    points = views.require_depth()[..., None] * torch.einsum(
        'vij,hwj->vhwi', views.T_norm_cam.R, directions
    )
    points = points + views.T_norm_cam.t[:, None, None]
    return ((points > aabb[0]) & (points < aabb[1])).all(dim=-1)


def photographed(
    field: RadianceField,
    T_norm_cam: Pose,
    camera: Camera,
    saved: Checkpoint,
    context: BuildContext,
) -> Views:
    """What a field shows from poses (V,), as if it had been photographed with depth."""

    def keep(out: Rendering) -> dict[str, Tensor]:
        depth = torch.where(out.opacity > _MIN_OPACITY, out.depth, 0)
        return {'rgb': out.rgb.clamp(0, 1), 'depth': depth}

    job = RenderingJob('baking', T_norm_cam, camera, at_once=1, between_saves=_CHECKPOINT_INTERVAL)
    kept = render_job(field, job, keep, saved=saved, context=context)
    seen = torch.ones_like(kept['depth']).bool()

    return Views(
        camera, T_norm_cam.to('cpu'), kept['rgb'], alpha=None, seen=seen, depth=kept['depth']
    )
