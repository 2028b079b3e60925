# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a frame shows at a pixel, another frame shows where that point projects to."""

import itertools

import numpy as np
import pytest
from plane_world import plane_color

from caldiff_ros.scenes import load_depth, load_image, open_scene


def points_on_plane(frame, camera):
    """Where the pixels of a frame meet the plane z = 0, in the map, (N, 3)."""
    rays = camera.pixel_directions() @ frame.T_map_cam[:3, :3].T
    origin = frame.T_map_cam[:3, 3]
    return origin - rays * (origin[2] / rays[:, 2])[:, None]


@pytest.mark.parametrize('layout', ['blender', 'nerfstudio', 'seven_scenes'])
def test_images_show_the_plane_where_the_pose_says(layout, request):
    scene = open_scene(request.getfixturevalue(layout))
    assert len(scene.frames) == 4
    for frame in scene.frames:
        points = points_on_plane(frame, frame.camera)
        expected = plane_color(points[:, 0], points[:, 1])
        image = load_image(frame).reshape(-1, 3)
        opaque = np.abs(image - expected).max(axis=1) < 2
        # The rim of the Blender images is transparent, hence white.
        assert opaque.mean() == (0.9 if layout == 'blender' else 1.0)
        assert (image[~opaque] == 255).all()


@pytest.mark.parametrize(('layout', 'tolerance'), [('nerfstudio', 1e-4), ('seven_scenes', 0.02)])
def test_depth_of_one_frame_predicts_depth_and_colour_of_another(layout, tolerance, request):
    scene = open_scene(request.getfixturevalue(layout))
    camera = scene.frames[0].camera
    for a, b in itertools.permutations(scene.frames, 2):
        depth_a = load_depth(a, camera).ravel()
        known = depth_a > 0
        points_a = camera.pixel_directions()[known] * depth_a[known, None]
        T_b_a = np.linalg.inv(b.T_map_cam) @ a.T_map_cam
        points_b = points_a @ T_b_a[:3, :3].T + T_b_a[:3, 3]
        uv = camera.project(points_b)
        inside = ((uv > 1) & (uv < np.subtract((camera.width, camera.height), 1))).all(axis=1)
        i, j = uv[inside].astype(int).T
        color_a = load_image(a, camera).reshape(-1, 3)[known][inside].astype(float)
        difference = np.abs(color_a - load_image(b, camera)[j, i])
        assert inside.mean() > 0.5
        # Half a pixel of rounding at about 25 grey levels per pixel.
        assert np.median(difference) < 10
        # The points lie on the plane in the map.
        z_map = points_a @ a.T_map_cam[2, :3] + a.T_map_cam[2, 3]
        assert np.abs(z_map).max() < tolerance


def test_depth_agrees_with_the_plane_at_another_resolution(nerfstudio):
    frame = open_scene(nerfstudio).frames[2]
    camera = frame.camera.downscaled(2)
    rays = camera.pixel_directions() @ frame.T_map_cam[:3, :3].T
    expected = (-frame.T_map_cam[2, 3] / rays[:, 2]).reshape(20, 30)
    # The nearest measured pixel is up to half a pixel away, and the plane is inclined.
    np.testing.assert_allclose(load_depth(frame, camera), expected, rtol=0.01)
