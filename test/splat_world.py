# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A room whose walls are made of Gaussians, as a trainer without anti-aliasing leaves them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from blobs import look_at

from caldiff_ros.geometry import Camera, Normalization, Pose
from caldiff_ros.mapping.splat_field import scaled_to_norm
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.gpu_splatting import GaussianTensors, SplatCamera
from caldiff_ros.nerf.splatting import splat as rendered
from caldiff_ros.scenes import Frame, Scene
from caldiff_ros.splats.splat import Splat

#: Camera of the training images, and of photographs of twice their size.
CAMERA = Camera(80, 60, 60.0, 60.0, 40.0, 30.0)
LARGE = Camera(160, 120, 120.0, 120.0, 80.0, 60.0)
NEAR = 0.1
#: Half the edges of the room: it is 4 wide and deep, and 2 high, about the origin.
HALF = np.array([2.0, 2.0, 1.0])


def room(n=6000, seed=0):
    """Flat Gaussians all over the walls, of random colours that change smoothly."""
    rng = np.random.default_rng(seed)
    means = rng.uniform(-1, 1, (n, 3)) * HALF
    areas = np.array([HALF[1] * HALF[2], HALF[0] * HALF[2], HALF[0] * HALF[1]])
    axis = rng.choice(3, n, p=areas / areas.sum())
    means[np.arange(n), axis] = rng.choice([-1, 1], n) * HALF[axis]
    scales = np.full((n, 3), 0.035)
    scales[np.arange(n), axis] = 0.002
    waves = rng.normal(0, 2.5, (8, 3, 3))
    phases = rng.uniform(0, 6, (8, 3))
    colors = np.sin(np.einsum('nk,wkc->nwc', means, waves) + phases).sum(1) * 0.4
    return Splat(
        means.astype(np.float32),
        np.log(scales).astype(np.float32),
        np.tile(np.float32([1, 0, 0, 0]), (n, 1)),
        np.full(n, 2.0, np.float32),
        colors[:, None].astype(np.float32),
    )


def with_what_no_camera_saw(splat, n=600, seed=3):
    """The room with large Gaussians behind its walls, as trainers leave them there."""
    rng = np.random.default_rng(seed)
    means = rng.uniform(-1, 1, (n, 3))
    means *= (1.1 + 0.3 * rng.random((n, 1))) * HALF / np.abs(means).max(1, keepdims=True)
    behind = Splat(
        means.astype(np.float32),
        np.full((n, 3), np.log(0.15), np.float32),
        np.tile(np.float32([1, 0, 0, 0]), (n, 1)),
        np.full(n, 2.0, np.float32),
        rng.normal(0, 0.5, (n, 1, 3)).astype(np.float32),
    )
    return joined(splat, behind)


def joined(*splats):
    """One splat of several."""
    names = ('means', 'log_scales', 'quaternions', 'logits', 'harmonics')
    return Splat(*(np.concatenate([getattr(each, name) for each in splats]) for name in names))


def inside(n=12, seed=1):
    """Cameras (n,) in the middle of the room that look at its walls, upright."""
    rng = torch.Generator().manual_seed(seed)
    center = (torch.rand(n, 3, generator=rng) - 0.5) * torch.tensor([1.6, 1.6, 0.6])
    # `look_at` looks at the origin: turned about, it looks away from it
    poses = look_at(center + torch.tensor([1e-3, 0, 0]))
    flip = torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
    return Pose(poses.R @ flip, poses.t)


def photographs(splat, poses, size=1, shift_px=(0.0, 0.0)):
    """What cameras of a multiple of the training size see (V, H, W, 3), filter and all.

    Args:
        splat: the Gaussians, in the frame of the poses.
        poses: of the cameras.
        size: the multiple.
        shift_px: by how many pixels of the training the principal point is elsewhere.
    """
    values = splat.means, np.exp(splat.log_scales), splat.quaternions
    values = *values, 1 / (1 + np.exp(-splat.logits)), splat.harmonics
    camera = CAMERA.downscaled(1 / size)
    moved = replace(camera, cx=camera.cx + size * shift_px[0], cy=camera.cy + size * shift_px[1])
    # as 3DGS renders: larger without being fainter, in pixels of the training
    as_trained = SplatCamera(moved, NEAR, dilation=0.3 * size**2, blur=0.0)
    shown = rendered(GaussianTensors(*map(torch.from_numpy, values)), poses, as_trained)
    return shown[..., :3].view(len(poses), camera.height, camera.width, 3).clamp(0, 1)


def data_of(rgb, poses, camera, on_disk):
    """Training data of images (V, H, W, 3) of a camera, as files of another size."""
    normalization = Normalization.from_camera_centers(poses.t.double().numpy())
    views = Views(
        camera=camera,
        T_norm_cam=normalization.to_norm(poses),
        rgb=rgb,
        alpha=None,
        seen=torch.ones(rgb.shape[:3], dtype=torch.bool),
        depth=None,
    )
    frame = Frame('0', Path('0.png'), on_disk, np.eye(4))
    return TrainingData(
        scene=Scene('room', Path('room'), [frame]),
        camera=camera,
        normalization=normalization,
        views=views,
        held_out=None,
        aabb=torch.tensor([[-1.0] * 3, [1.0] * 3]),
        background='none',
        frames=(frame,),
    )


def in_normalized(splat, data):
    return splat.transformed(scaled_to_norm(data.normalization))
