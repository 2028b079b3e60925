# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images that never wait for a GPU, and room for them."""

import pytest
import torch

from caldiff_ros.geometry import Pose
from caldiff_ros.nerf import bounded_view
from caldiff_ros.nerf.bounded_view import BoundedView
from caldiff_ros.nerf.field import Rendering
from caldiff_ros.nerf.gpu_tiles import TileGrid
from caldiff_ros.recording import Recorded

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')


@pytest.mark.parametrize(
    ('size', 'grid'), [((25, 14), (7, 4, 4)), ((160, 120), (40, 30, 4)), ((480, 270), (60, 34, 8))]
)
def test_tiles_are_small_and_cover_the_image(size, grid):
    assert TileGrid.of(*size) == grid


class World:
    """Renders ones while the room suffices; what is seen from t takes t.x pairs."""

    def __init__(self):
        self.calls = 0

    def __call__(self, poses, room):
        self.calls += 1
        torch.maximum(room.needed, poses.t[:, 0].max().long(), out=room.needed)
        complete = room.needed <= room.size
        one = torch.ones(len(poses), 2, 2, device=poses.t.device) * complete
        return Rendering(one[..., None].expand(-1, -1, -1, 3), one, one)


def at(x):
    return Pose(torch.eye(3, device=DEVICE)[None], torch.tensor([[float(x), 0, 0]], device=DEVICE))


def test_too_little_room_is_noticed_and_enlarged():
    view = BoundedView(World(), 1, DEVICE)
    assert view.recorded(at(10)) is None  # rendered once, it is not worth a recording
    for needed in (10, 100_000, 10, 3_000_000, 200_000):
        assert float(view.recorded(at(needed)).opacity.min()) == 1
    assert view.has_room(at(10))
    assert float(view.render(at(2**23 + 2)).opacity.max()) == 0
    assert not view.was_enough()


def test_what_needs_too_much_is_left_to_others():
    world = World()
    view = BoundedView(world, 1, DEVICE)
    view.recorded(at(10))
    assert view.recorded(at(2 * bounded_view._MOST_ROOM)) is None
    assert world.calls < 10
    assert view.recorded(at(10)) is not None


def test_a_recorded_function_returns_what_it_would():
    recorded = Recorded(lambda a, b: a @ b + 1)
    with torch.no_grad():
        for seed in range(4):
            rng = torch.Generator().manual_seed(seed)
            a, b = (torch.randn(4, 4, generator=rng).to(DEVICE) for _ in range(2))
            first, second = recorded(a, b), recorded(b, a)
            assert torch.allclose(first, a @ b + 1) and torch.allclose(second, b @ a + 1)
    a = torch.ones(2, 2, device=DEVICE, requires_grad=True)
    recorded(a, a).sum().backward()
    assert a.grad is not None
