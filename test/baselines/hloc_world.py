# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Photographs of the patterned wall, for the baseline that triangulates them."""

from __future__ import annotations

from dataclasses import replace

import torch
from wall import CAMERA, VIEW, Wall, moved, photograph

from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.views import Views
from maps import make_map

#: Where the queries are taken from.
QUERY_POSE = moved(VIEW, 0.05, 6.0, seed=77)
WALL = Wall(cells=100)


def localization_map():
    """A map of the wall; its networks know nothing of it, nor does the baseline need them."""
    return replace(make_map(), camera=CAMERA, background='none')


def views(n: int = 8) -> Views:
    """Photographs from around `VIEW`."""
    poses = Pose.cat([moved(VIEW, 0.15, 8.0, seed) for seed in range(n)])
    rgb = torch.stack([photograph(WALL, poses[i : i + 1], CAMERA).rgb for i in range(n)])
    return Views(CAMERA, poses, rgb, None, torch.ones(rgb.shape[:3], dtype=torch.bool), None)


def query():
    """Image, camera and true pose in the map."""
    image = photograph(WALL, QUERY_POSE, CAMERA).image
    return image, CAMERA, localization_map().to_map(QUERY_POSE)[0]
