# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images of real datasets as views: several cameras, alpha that is none, blank ones."""

import json

import cv2
import numpy as np
import pytest
import torch
from plane_world import VIEWS_GL, photograph, plane_color, write_png

from caldiff_ros.geometry import Camera, Normalization, Pose
from caldiff_ros.mapping.field_training import psnr
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.mapping.views import Views
from caldiff_ros.scenes import open_scene
from caldiff_ros.scenes.pixels import read_pixels

NORMALIZATION = Normalization((0.0, 0.0, 0.0), 2.0)


def load(scene, camera=None):
    return Views.load(scene.frames, camera or scene.frames[0].camera.pinhole(), NORMALIZATION)


def alpha_of(root, change):
    """Rewrite the alpha channel of each image by its number."""
    for i, path in enumerate(sorted(root.rglob('*.png'))):
        pixels = read_pixels(path)
        alpha = np.asarray(change(i, pixels[..., 3]), np.uint8)
        write_png(path, np.dstack([pixels[..., :3], alpha]))


def test_views_of_several_sizes_and_distortions_show_the_same_plane(nerfstudio, edit_json):
    # 1. a larger image with radial distortion, made pixel by pixel with the inverse of its formula
    wide = Camera(90, 70, 60.0, 61.0, 44.0, 36.0, 'plumb_bob', (0.08, 0.0, 0.0, 0.0, 0.0))
    xd = (wide.pixel_centers() - (wide.cx, wide.cy)) / (wide.fx, wide.fy)
    x = xd.copy()
    for _ in range(50):
        x = xd / (1 + 0.08 * (x**2).sum(axis=1, keepdims=True))
    rays = np.concatenate([x * (1, -1), -np.ones((len(x), 1))], axis=1) @ VIEWS_GL[1][:3, :3].T
    hit = VIEWS_GL[1][:3, 3] - rays * (VIEWS_GL[1][2, 3] / rays[:, 2])[:, None]
    image = np.rint(plane_color(hit[:, 0], hit[:, 1])).astype(np.uint8).reshape(70, 90, 3)
    write_png(nerfstudio / 'images/1.png', image)
    # 2. an upright one, and a larger one of the same camera
    write_png(nerfstudio / 'images/2.png', photograph(VIEWS_GL[2], 40, 60, 50.0)[0])
    write_png(nerfstudio / 'images/3.png', photograph(VIEWS_GL[3], 120, 80, 100, 104, 58, 42)[0])

    def change(content):
        frames = content['frames']
        frames[1].update(w=90, h=70, fl_x=60.0, fl_y=61.0, cx=44.0, cy=36.0, k1=0.08)
        frames[2].update(w=40, h=60, fl_x=50.0, fl_y=50.0, cx=20.0, cy=30.0)
        for frame in frames:
            del frame['depth_file_path']

    edit_json(nerfstudio / 'transforms.json', change)
    views = load(open_scene(nerfstudio))
    assert views.rgb.shape == (4, 40, 60, 3)
    assert views.seen.float().mean((1, 2))[[0, 1, 3]].tolist() == [1, 1, 1]
    # 40 columns and 60 rows of f = 50 cover columns 9 to 49 of f = 50, cx = 29
    assert bool(views.seen[2, :, 10:48].all()) and not bool(views.seen[2, :, :8].any())

    directions = torch.from_numpy(views.camera.pixel_directions()).float()
    for rgb, seen, R, t in zip(
        views.rgb, views.seen, views.T_norm_cam.R, views.T_norm_cam.t, strict=True
    ):
        rays = directions @ R.T
        hit = (t - rays * (t[2] / rays[:, 2])[:, None]) * NORMALIZATION.side
        expected = plane_color(hit[:, 0].numpy(), hit[:, 1].numpy())
        error = np.abs(rgb.view(-1, 3).numpy() * 255 - expected).max(axis=1)[seen.view(-1).numpy()]
        assert np.percentile(error, 95) < 6  # of 220 grey values, by interpolation


def test_opaque_alpha_is_no_silhouette(blender):
    alpha_of(blender, lambda i, alpha: np.full_like(alpha, 255))
    scene = open_scene(blender)
    assert load(scene).alpha is None
    data = TrainingData.load(scene, *scene.split(None), 1.0)
    assert (data.views.alpha, data.background) == (None, 'none')
    # with a silhouette in them, they stand before white
    alpha_of(blender, lambda i, alpha: np.pad(alpha[:, 4:], ((0, 0), (4, 0))))
    data = TrainingData.load(scene, *scene.split(None), 1.0)
    assert (data.views.alpha is not None, data.background) == (True, 'white')


def test_each_image_is_decoded_once(blender, monkeypatch):
    decoded = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, 'imdecode', lambda *args: decoded.append(args) or decode(*args))
    scene = open_scene(blender)
    data = TrainingData.load(scene, *scene.split(None), 1.0)
    assert (len(data.views), len(data.held_out), len(decoded)) == (2, 2, 4)


def test_an_opaque_image_among_silhouettes_is_opaque(blender):
    alpha_of(blender, lambda i, alpha: np.full_like(alpha, 255) if i == 0 else alpha)
    alpha = load(open_scene(blender)).require_alpha()
    assert alpha.shape[0] == 4
    opaque = [bool((image == 1).all()) for image in alpha]
    assert sorted(opaque) == [False, False, False, True]


def test_a_blank_silhouette_is_named_and_carves_nothing(tmp_path, caplog):
    """A ball of radius 0.5 at the origin, seen from around it; one view shows nothing."""
    root = tmp_path / 'ball'
    frames = []
    for i in range(6):
        T = np.eye(4)
        angle = i * np.pi / 3
        T[:3, 2] = np.sin(angle), 0, np.cos(angle)
        T[:3, 0] = np.cos(angle), 0, -np.sin(angle)
        T[:3, 3] = 3 * T[:3, 2]
        rays = Camera(60, 60, 60.0, 60.0, 30.0, 30.0).pixel_directions()
        inside = 3 * np.hypot(rays[:, 0], rays[:, 1]) / np.linalg.norm(rays, axis=1) < 0.5
        alpha = np.where(inside, 255, 0) * (i != 4)
        pixels = np.full((60, 60, 4), 200, np.uint8)
        pixels[..., 3] = alpha.reshape(60, 60)
        write_png(root / f'train/r_{i}.png', pixels)
        frames.append({'file_path': f'./train/r_{i}', 'transform_matrix': T.tolist()})
    content = {'fl_x': 60, 'w': 60, 'h': 60, 'frames': frames}
    (root / 'transforms_train.json').write_text(json.dumps(content))

    scene = open_scene(root)
    data = TrainingData.load(scene, *scene.split(None), 1.0)
    assert len(data.views) == 5
    assert '1 of 6 images are skipped because they are fully transparent: train/r_4' in (
        caplog.text
    )
    assert len(caplog.records) == 1
    low, high = data.normalization.points_to_map(data.aabb).numpy()
    assert (low[[0, 2]] <= -0.5).all() and (high[[0, 2]] >= 0.5).all()


def test_one_frame_without_depth_leaves_the_others_theirs(nerfstudio):
    (nerfstudio / 'depth/2.png').unlink()
    depth = load(open_scene(nerfstudio)).require_depth()
    assert [bool((image > 0).all()) for image in depth] == [True, True, False, True]
    assert not bool(depth[2].any())


class Grey:
    """A field that renders one grey."""

    background = 'none'
    aabb = torch.zeros(2, 3)

    def render(self, T_norm_cam, camera):
        from types import SimpleNamespace

        return SimpleNamespace(rgb=torch.full((len(T_norm_cam), 2, 2, 3), 0.5))


@pytest.mark.parametrize(('hidden', 'expected'), [(False, 7.910), (True, 20.0)])
def test_psnr_counts_what_is_seen(hidden, expected):
    rgb = torch.full((1, 2, 2, 3), 0.6)
    rgb[0, 1] = 1.06  # 0.56 off: the mean of 0.01 and 0.3136 is 0.1618, 10^-0.791
    seen = torch.ones(1, 2, 2, dtype=torch.bool)
    seen[0, 1] = not hidden
    pose = Pose(torch.eye(3)[None], torch.zeros(1, 3))
    views = Views(Camera(2, 2, 1, 1, 1, 1), pose, rgb, None, seen, None)
    assert psnr(Grey(), views) == pytest.approx(expected, abs=0.02)
