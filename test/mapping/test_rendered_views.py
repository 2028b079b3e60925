# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Views rendered around the training cameras."""

import pytest
import torch
from blobs import Blobs, ring

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.rendered_views import RenderedViewsConfig, render_views
from caldiff_ros.nerf.field import Rendering

SMALL = Camera(24, 20, 30.0, 30.0, 12.0, 10.0)


def test_rendered_views_show_the_scene_and_empty_ones_are_dropped():
    field = Blobs()
    away = ring(6)
    away = Pose(away.R @ torch.diag(torch.tensor([-1.0, 1.0, -1.0])), away.t)  # backs to the scene
    cameras = Pose.cat([ring(6), away])
    config = RenderedViewsConfig(
        count=60, neighbors=0, position_jitter=0.0, rotation_jitter_deg=0.0
    )
    images, poses = render_views(field, cameras, SMALL, config, BuildContext())
    assert images.shape == (len(poses), 20, 24, 3)
    assert 15 < len(poses) < 45
    towards = (poses.R[..., 2] * -poses.t).sum(-1)
    assert bool((towards > 0).all())
    assert float(images.float().std()) > 5


def test_a_camera_that_shows_nothing_does_not_let_views_into_the_scene():
    field, around = Blobs(), ring(6)
    away = Pose(around.R[:1] @ torch.diag(torch.tensor([-1.0, 1.0, -1.0])), around.t[:1])
    config = RenderedViewsConfig(
        count=150, neighbors=0, position_jitter=0.2, orbit_share=0.0, min_distance=0.8
    )

    def depths(poses):
        out = field.render(poses, SMALL)
        return out.opacity.sum((1, 2)) / (out.opacity / out.depth.clamp_min(1e-6)).sum((1, 2))

    _, poses = render_views(field, Pose.cat([around, away]), SMALL, config, BuildContext())
    assert len(poses) > 30
    # the distances of the cameras are measured in images a quarter as large
    assert float(depths(poses).min()) > 0.8 * float(depths(around).min()) - 0.01


def test_a_horizon_does_not_lead_cameras_out_of_the_place():
    """Half of what they show is one unit away and half kilometres: they turn about what is near."""

    class Terrace(Blobs):
        def render(self, poses, camera):
            depth = torch.ones(len(poses), camera.height, camera.width)
            depth[..., : camera.width // 2] = 1e5
            return Rendering(depth[..., None].expand(*depth.shape, 3), depth, depth.clamp_max(1))

    camera = Pose(torch.eye(3)[None], torch.zeros(1, 3))
    config = RenderedViewsConfig(
        count=60, neighbors=0, position_jitter=0.0, rotation_jitter_deg=0.0, orbit_share=1.0
    )
    _, poses = render_views(Terrace(), camera, SMALL, config, BuildContext())
    assert len(poses) == 60
    # a circle about a point two units in front
    center = torch.tensor([0.0, 0, 2])
    assert torch.allclose((poses.t - center).norm(dim=-1), torch.tensor(2.0), atol=0.01)


def test_rendering_of_views_resumes_where_it_stopped(tmp_path):
    config = RenderedViewsConfig(count=700)
    tiny = SMALL.downscaled(4.0)
    steps = []

    def stop_at_600(stage, step, n, numbers):
        if step > 600:
            raise KeyboardInterrupt

    stopping = BuildContext(work=tmp_path, report=stop_at_600)
    with pytest.raises(KeyboardInterrupt):
        render_views(Blobs(), ring(6), tiny, config, stopping)
    resuming = BuildContext(
        work=tmp_path, report=lambda stage, step, n, numbers: steps.append(step)
    )
    images, poses = render_views(Blobs(), ring(6), tiny, config, resuming)
    assert steps[0] == 500 + 4
    whole_images, whole_poses = render_views(Blobs(), ring(6), tiny, config, BuildContext())
    assert torch.equal(images, whole_images)
    assert torch.equal(poses.t, whole_poses.t)
    # the views of a subset of the cameras, in the same field, are others
    _, elsewhere = render_views(Blobs(), ring(6)[:3], tiny, config, resuming)
    _, without_checkpoint = render_views(Blobs(), ring(6)[:3], tiny, config, BuildContext())
    assert torch.equal(elsewhere.t, without_checkpoint.t)
    steps.clear()
    render_views(Blobs(), ring(6)[1:], tiny, config, resuming)
    assert steps[0] == 4


def test_views_on_another_background_are_rendered_anew(tmp_path):
    context = BuildContext(work=tmp_path)
    config = RenderedViewsConfig(count=8)
    tiny = SMALL.downscaled(4.0)
    steps = []
    field = Blobs()
    render_views(field, ring(6), tiny, config, context)
    field.background = 'black'
    telling = BuildContext(work=tmp_path, report=lambda stage, step, *_: steps.append(step))
    render_views(field, ring(6), tiny, config, telling)
    assert steps == [4, 8]
