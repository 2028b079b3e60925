# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training data for a map that is made of a splat and of no image: renders of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, Normalization, Pose
from caldiff_ros.mapping.adopted_splat import AdoptedSplat, SplatSource
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.diffusion_training import jitter_colors
from caldiff_ros.mapping.rendering import RenderingJob, render_job
from caldiff_ros.mapping.splat_agreement import LEAST_OPACITY
from caldiff_ros.mapping.splat_field import (
    bare_field,
    field_of_splat,
    scaled_to_norm,
    splat_box,
)
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.mapping.upwards import Upward, say_up
from caldiff_ros.mapping.viewpoints import Viewpoints, find_viewpoints, given_viewpoints
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.field import Rendering
from caldiff_ros.nerf.gaussians import GaussianField
from caldiff_ros.scenes import Scene
from caldiff_ros.scenes.trajectory import Trajectory
from caldiff_ros.wording import counted

logger = logging.getLogger(__name__)

#: How many viewpoints are rendered, and the longest side of the images.
_VIEWPOINTS = 120
_LONGEST_SIDE = 480
#: From how far away things are seen before viewpoints are known, in sides of the scene's box, and
#: where nothing can be.
_USUAL_DISTANCE, _NEAREST = 0.15, 0.002
#: Pixels that show less than this of the splat show something else in a photograph.
_SOLID = 0.5
#: By how much renders differ in brightness, and each channel's noise (0..1), as photographs do.
_BRIGHTNESS, _NOISE = 0.15, 0.008
_RENDERED_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class KnownCameras:
    """What is known of cameras whose images are not.

    Attributes:
        camera: with the field of view of those that will be localized; of the size of the images
            of a trajectory, and of any size without.
        factor: by how much the renders are smaller than the images of the training; None if that
            may be chosen.
        up: unit vector (3,) that points upwards in the frame of the splat, if that is known.
        trajectory: cameras by which the splat was made, if they are known.
    """

    camera: Camera
    factor: float | None = None
    up: Tensor | None = None
    trajectory: Trajectory | None = None


def rendered_data(
    source: SplatSource, cameras: KnownCameras, context: BuildContext
) -> tuple[TrainingData, AdoptedSplat]:
    """Renders of a splat from a trajectory or viewpoints that it suggests itself, and its field.

    Args:
        source: the splat.
        cameras: that the renders are those of.
        context: seed, device, and receives the progress of 'viewpoints' and 'renders'.

    Raises:
        CaldiffError: if the splat shows nothing from anywhere.
    """
    seen_with, trajectory = cameras.camera, cameras.trajectory

    # 1. Viewpoints, in coordinates in which the scene has size 1
    box = splat_box(source.splat)
    around = Normalization.from_camera_centers(box.double().numpy())
    splat = source.splat.transformed(scaled_to_norm(around))
    box = around.points_to_norm(box)
    distances = torch.full((len(splat),), _USUAL_DISTANCE)
    focal_px = source.focal_px or seen_with.fx
    unsized = bare_field(splat, (box, 'none'), focal_px, _NEAREST, distances).to(context.device)
    if trajectory is None:
        found = _viewpoints(unsized, box, seen_with, cameras.up, context)
    else:
        poses = around.to_norm(Pose.from_matrix(trajectory.T_map_cam)).to('cpu', torch.float32)
        found = given_viewpoints(unsized, box, seen_with, _VIEWPOINTS, poses)
    if cameras.up is None:
        say_up(found.up)
    if source.focal_px is None:
        focal_px = found.focal_px

    # 2. The field, in the coordinates of these
    T_map_cam = around.to_map(found.poses.to('cpu', torch.float64))
    normalization = Normalization.from_camera_centers(T_map_cam.t.numpy())
    poses = normalization.to_norm(T_map_cam).to('cpu', torch.float32)
    full = seen_with.downscaled(seen_with.fx / focal_px)
    chosen = max(1.0, max(full.width, full.height) / _LONGEST_SIDE)
    small = full.downscaled(chosen if cameras.factor is None else cameras.factor)
    splat = source.splat.transformed(scaled_to_norm(normalization))
    field = field_of_splat(splat, poses, small, 'none', focal_px).to(context.device)

    # 3. What it shows
    views = photographed(field, poses, small, context)
    _check_place(views)
    _say(source, views, focal_px, cameras)
    facts = {
        'splat': source.name,
        'splat_gaussians': len(splat),
        'splat_trained_focal_px': round(focal_px, 1),
        'splat_trained_focal_known': source.focal_px is not None,
        'splat_viewpoints': 'found' if trajectory is None else trajectory.path.name,
    }
    data = TrainingData(
        scene=Scene(
            Path(source.name).stem, Path(), [], metric=trajectory is not None and trajectory.metric
        ),
        camera=small,
        normalization=normalization,
        views=views,
        held_out=None,
        aabb=field.aabb.cpu(),
        background='none',
    )
    return data, AdoptedSplat(field=field, facts=facts, photographed=False)


def _viewpoints(
    field: GaussianField, box: Tensor, camera: Camera, up: Tensor | None, context: BuildContext
) -> Viewpoints:
    """See `find_viewpoints`; found once."""
    saved = context.checkpoint('viewpoints', field, box, camera, up)
    state = saved.load()
    if state is None:
        found = find_viewpoints(field, box, camera, _VIEWPOINTS, up, context)
        saved.save({
            'R': found.poses.R,
            't': found.poses.t,
            'focal_px': found.focal_px,
            'up': None if found.up is None else (found.up.direction, found.up.why),
        })  # fmt: skip
        return found

    upward = None if state['up'] is None else Upward(*state['up'])
    return Viewpoints(Pose(state['R'], state['t']), state['focal_px'], upward)


def photographed(field: GaussianField, poses: Pose, camera: Camera, context: BuildContext) -> Views:
    """What a field shows from poses (V,), of the brightness and with the noise of photographs."""

    def keep(out: Rendering) -> dict[str, Tensor]:
        return {'rgb': out.rgb.clamp(0, 1), 'depth': out.depth, 'opacity': out.opacity}

    job = RenderingJob('renders', poses.to(context.device), camera, _RENDERED_AT_ONCE, len(poses))
    saved = context.checkpoint('renders', field, poses, camera)
    kept = render_job(field, job, keep, saved=saved, context=context)

    generator = context.generator()
    rgb = jitter_colors(kept['rgb'], _BRIGHTNESS, generator)
    rgb = (rgb + _NOISE * torch.randn(rgb.shape, generator=generator)).clamp(0, 1)
    solid = kept['opacity'] > _SOLID
    return Views(
        camera=camera,
        T_norm_cam=poses,
        rgb=rgb,
        alpha=None,
        seen=solid,
        depth=kept['depth'] * solid,
    )


def _check_place(views: Views) -> None:
    """Refuse viewpoints from which the splat shows nothing.

    Raises:
        CaldiffError: if they are such.
    """
    solid = float(views.seen.float().mean())
    if solid < LEAST_OPACITY:
        raise CaldiffError(
            f'the splat is empty in the view of {counted(len(views), "camera")}, {solid:.0%} of '
            'their pixels show something, expected a splat in the frame of their poses; give '
            'those of its training, or --transform'
        )


def _say(source: SplatSource, views: Views, focal_px: float, cameras: KnownCameras) -> None:
    """What was assumed."""
    trajectory = cameras.trajectory
    size = views.camera.width, views.camera.height
    if trajectory is None:
        logger.info(
            '%s: no images are given, renders of %dx%d pixels from %s are used instead',
            source.name,
            *size,
            counted(len(views), 'viewpoint'),
        )
    else:
        logger.info(
            '%s: none of its images is there, renders of %dx%d pixels from %d of its %s are used '
            'instead',
            trajectory.path,
            *size,
            len(views),
            counted(len(trajectory.T_map_cam), 'camera'),
        )
    if source.focal_px is None and not source.splat.antialiased:
        logger.warning(
            'the size of the images that the splat was trained on is unknown, assuming a focal '
            'length of %.0f pixels; give --trained-at if it is known',
            focal_px,
        )
