# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Photos of the room corner."""

import pytest
from room_corner import Room, arc, write_jpeg


@pytest.fixture(scope='session')
def room():
    """The room without anything in it."""
    return Room()


@pytest.fixture(scope='session')
def photos(room, tmp_path_factory):
    """A folder of nine photos of the room, and their poses by name."""
    folder = tmp_path_factory.mktemp('photos')
    poses = {}
    for number, T in enumerate(arc(9)):
        name = f'{number:02d}.jpg'
        write_jpeg(folder / name, room.photograph(T))
        poses[name] = T
    return folder, poses
