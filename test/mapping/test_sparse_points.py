# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points of structure from motion: which ones count, and what a field makes of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from blobs import CAMERA, ring

from caldiff_ros.geometry import Normalization, Pose
from caldiff_ros.mapping.bounds import scene_bounds
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.field_training import FieldViews
from caldiff_ros.mapping.sparse_points import SparsePoints
from caldiff_ros.mapping.starting_points import starting_points
from caldiff_ros.mapping.views import Views
from caldiff_ros.scenes import ScenePoints

NORMALIZATION = Normalization((10.0, 20.0, 30.0), 4.0)
NAMES = ['a', 'b', 'c', 'd']


def scene_points(**seen_by):
    """Four points at x = 10, 12, 14, 16 of the map, y = 20, z = 30."""
    xyz = np.array([[10.0 + 2 * i, 20.0, 30.0] for i in range(4)])
    rgb = np.array([[51 * i, 0, 255] for i in range(4)], np.uint8)
    return ScenePoints(xyz, rgb, {name: np.array(v) for name, v in seen_by.items()})


def test_points_count_that_three_training_views_have_found():
    points = scene_points(a=[0, 1, 3], b=[0, 1, 3], c=[1, 2], d=[1, 3], test=[0, 2])
    sparse = SparsePoints.of(points, NAMES, NORMALIZATION)
    # point 0 is in a, b and the test image, 1 in all, 2 in two, 3 in a, b and d
    torch.testing.assert_close(sparse.xyz, torch.tensor([[0.5, 0, 0], [1.5, 0, 0]]))
    torch.testing.assert_close(sparse.rgb, torch.tensor([[0.2, 0, 1], [0.6, 0, 1]]))
    assert [indices.tolist() for indices in sparse.seen_by] == [[0, 1], [0, 1], [0], [0, 1]]


def test_without_a_view_its_points_may_no_longer_count():
    points = scene_points(a=[0, 1], b=[0, 1], c=[0, 1], d=[1])
    sparse = SparsePoints.of(points, NAMES, NORMALIZATION)
    left = sparse.subset(torch.tensor([False, True, True, True]))
    assert left.xyz[:, 0].tolist() == [0.5]
    assert [indices.tolist() for indices in left.seen_by] == [[0], [0], [0]]


def test_an_image_without_points_and_far_off_origins():
    origin = np.array([448123.0, 5411234.0, 312.0])
    points = scene_points(a=[0, 1, 2, 3], b=[0, 1, 2, 3], c=[0, 1, 2, 3])
    far = replace(points, xyz=points.xyz + origin)
    normalization = Normalization(tuple(np.array(NORMALIZATION.center) + origin), 4.0)
    sparse = SparsePoints.of(far, NAMES, normalization)
    torch.testing.assert_close(sparse.xyz[:, 0], torch.tensor([0, 0.5, 1, 1.5]), atol=1e-7, rtol=0)
    assert len(sparse.seen_by[3]) == 0


def grey_views(n=6):
    rgb = torch.full((n, 40, 48, 3), 0.25)
    return Views(CAMERA, ring(n), rgb, None, torch.ones(n, 40, 48).bool(), None)


def ball(n, views):
    """Points of a ball of radius 0.1 around the origin, seen by all views but the last one."""
    rng = torch.Generator().manual_seed(0)
    xyz = torch.nn.functional.normalize(torch.randn(n, 3, generator=rng), dim=-1) * 0.1
    seen_by = (torch.arange(n),) * (len(views) - 1) + (torch.zeros(0, dtype=torch.long),)
    return SparsePoints(xyz, torch.full((n, 3), 0.75), seen_by)


def start(views, count=400, sparse=None):
    box = torch.tensor([[-0.5] * 3, [0.5] * 3])
    return starting_points(views, box, count, BuildContext(), sparse)


def test_a_field_starts_from_the_points_and_random_pixels_at_their_depths():
    views = grey_views()
    points = start(views, sparse=ball(1000, views))
    assert points.source == 'structure from motion, 120 random'
    from_motion = (points.rgb == 0.75).all(dim=-1)
    assert int(from_motion.sum()) == 400
    torch.testing.assert_close(points.xyz[from_motion].norm(dim=-1), torch.full((400,), 0.1))
    # the rest lies about as far from some camera as the ball does: cameras are 0.5 to 0.56 away
    rest = points.xyz[~from_motion]
    assert len(rest) == 120 and (points.rgb[~from_motion] == 0.25).all()
    depth = ((rest[:, None] - views.T_norm_cam.t) * views.T_norm_cam.R[:, :, 2]).sum(-1)
    assert (((depth > 0.4) & (depth < 0.67)).any(dim=1)).all()


def test_random_pixels_have_the_depth_of_what_is_beside_them():
    """A floor half a unit away below, and hills two hundred units away above."""
    n = 3
    poses = Pose(torch.eye(3).expand(n, 3, 3), torch.zeros(n, 3))
    rgb = torch.full((n, 40, 48, 3), 0.25)
    views = Views(CAMERA, poses, rgb, None, torch.ones(n, 40, 48).bool(), None)
    u, v = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(40) + 0.5, indexing='xy')
    depth = torch.where(v > 20, 0.5, 200.0)
    xyz = torch.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, 0 * u + 1], -1)
    xyz = (xyz * depth[..., None]).flatten(0, 1)[::4]
    sparse = SparsePoints(xyz, torch.full_like(xyz, 0.75), (torch.arange(len(xyz)),) * n)
    points = start(views, sparse=sparse)
    _, y, z = points.xyz[(points.rgb == 0.25).all(dim=-1)].T
    row = y / z * CAMERA.fy + CAMERA.cy
    assert len(z) == 120 and int((row > 22).sum()) > 30 < int((row < 18).sum())
    torch.testing.assert_close(z[row > 22], torch.full_like(z[row > 22], 0.5))
    torch.testing.assert_close(z[row < 18], torch.full_like(z[row < 18], 200.0))


@pytest.mark.parametrize(
    ('n', 'silhouettes', 'source'),
    [
        (49, False, 'random, as there are only 49 points'),
        (50, False, 'structure from motion, 350 random'),
        (299, True, 'inside the silhouettes'),
        (300, True, 'structure from motion, 100 random'),
    ],
)
def test_a_few_points_are_better_than_none_but_not_than_silhouettes(n, silhouettes, source):
    views = grey_views()
    if silhouettes:
        views = replace(views, alpha=torch.ones(6, 40, 48))
    assert start(views, sparse=ball(n, views)).source == source


def test_measured_depth_is_preferred():
    views = grey_views()
    deep = replace(views, depth=torch.full((6, 40, 48), 0.4))
    assert start(deep, sparse=ball(1000, views)).source == 'measured depth'


def test_the_box_holds_the_points_and_the_cameras_but_not_the_horizon():
    views = grey_views()
    sparse = ball(1000, views)
    sparse.xyz[:5] = torch.tensor([300.0, 0.0, -200.0])
    low, high = scene_bounds(views, NORMALIZATION, None, sparse).tolist()
    centers = views.T_norm_cam.t
    np.testing.assert_allclose(low[:2], centers.amin(0)[:2], atol=1e-6)
    np.testing.assert_allclose(high[:2], centers.amax(0)[:2], atol=1e-6)
    assert -0.11 < low[2] < -0.09  # the cameras are above
    # the dataset's own box comes first
    aabb = scene_bounds(views, NORMALIZATION, np.array([[8.0, 18, 28], [12, 22, 32]]), sparse)
    torch.testing.assert_close(aabb, torch.tensor([[-0.5] * 3, [0.5] * 3]))


def test_held_out_views_take_their_points_along():
    views = grey_views()
    sparse = SparsePoints(
        torch.zeros(1, 3),
        torch.zeros(1, 3),
        (torch.tensor([0]),) * 3 + (torch.zeros(0).long(),) * 3,
    )
    data = FieldViews(views=views, aabb=torch.zeros(2, 3), background='none', points=sparse)
    held_out = torch.tensor([True, False, False, False, False, False])
    left = data.without(held_out)
    assert (len(left.views), len(left.points.xyz), len(left.points.seen_by)) == (5, 0, 5)
    assert len(data.without(held_out.flip(0)).points.xyz) == 1
