# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A baked field shows what the original shows."""

import pytest
import torch
from blobs import CAMERA, Blobs, photographed, ring

from caldiff_ros.mapping.baking import bake
from caldiff_ros.mapping.context import BuildContext, weights_digest
from caldiff_ros.mapping.field_training import FieldViews
from caldiff_ros.mapping.gaussian_training import GaussianTraining

ROOM = torch.tensor([[-0.6] * 3, [0.6] * 3])
TRAINING = GaussianTraining(iterations=200, start_points=2000, exact_depth=True)


def room(aabb) -> FieldViews:
    """What is known of the room before it is baked: its box, and the camera of the renders."""
    return FieldViews(views=photographed(Blobs(), ring(2)), aabb=aabb, background='white')


@pytest.fixture(scope='module')
def baked(tmp_path_factory):
    work = tmp_path_factory.mktemp('bake')
    stages = []

    def report(stage, step, *_):
        stages.append((stage, step))

    def run():
        return bake(Blobs(), ring(20), room(ROOM), TRAINING, BuildContext(work=work, report=report))

    return run, stages


def test_colour_and_depth_are_those_of_the_original(baked):
    run, _ = baked
    new = ring(4, phase=0.15)
    was, now = (field.render(new, CAMERA) for field in (Blobs(), run()))
    assert -10 * torch.log10(((was.rgb - now.rgb) ** 2).mean()) > 24
    solid = was.opacity > 0.95
    assert solid.float().mean() > 0.2
    assert (was.depth - now.depth)[solid].abs().median() < 0.01  # a third of a blob


def test_the_box_is_what_the_renders_show_of_the_room(baked):
    run, _ = baked
    aabb = run().aabb
    assert (aabb[0] < -0.1).all() and (aabb[1] > 0.1).all()
    assert (aabb.abs() < 0.35).all()  # the blobs lie within 0.3
    flat = ROOM.clone()
    flat[1, 2] = 0.02
    cut = bake(Blobs(), ring(20), room(flat), TRAINING, BuildContext()).aabb
    assert cut[1, 2] == 0.02


def test_what_was_baked_is_not_baked_again(baked):
    run, stages = baked
    first = run()
    before = len(stages)
    assert weights_digest(run()) == weights_digest(first)
    assert len(stages) == before
