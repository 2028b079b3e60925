# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A room that the tests photograph from inside: a cube with a pattern of its own on each wall."""

import json

import cv2
import numpy as np
from plane_world import look_at, write_png

#: Half the edge of the cube; it is the metre of the depth images.
HALF = 2.0
WIDTH, HEIGHT, FOCAL = 160, 120, 130.0
_CELLS, _CELL_PX = 48, 8


def _patterns():
    rng = np.random.default_rng(0)
    cells = rng.uniform(0, 255, (6, _CELLS, _CELLS, 3)).astype(np.float32)
    size = (_CELLS * _CELL_PX, _CELLS * _CELL_PX)
    walls = [cv2.resize(wall, size, interpolation=cv2.INTER_CUBIC) for wall in cells]
    return np.stack(walls).clip(0, 255)


PATTERNS = _patterns()


def photograph_room(T_gl, focal=FOCAL):
    """Colour, uint8 (H, W, 3), and depth along the axis from an OpenGL camera inside the room."""
    j, i = np.mgrid[:HEIGHT, :WIDTH]
    x, y = (i + 0.5 - WIDTH / 2) / focal, -(j + 0.5 - HEIGHT / 2) / focal
    rays = np.stack([x, y, -np.ones_like(x)], axis=-1) @ T_gl[:3, :3].T
    origin = T_gl[:3, 3]
    with np.errstate(divide='ignore'):
        to_walls = (np.sign(rays) * HALF - origin) / rays
    axis = to_walls.argmin(axis=-1)
    depth = to_walls.min(axis=-1)
    hit = origin + depth[..., None] * rays

    wall = 2 * axis + (np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0)
    a = np.take_along_axis(hit, (axis[..., None] + 1) % 3, -1)[..., 0]
    b = np.take_along_axis(hit, (axis[..., None] + 2) % 3, -1)[..., 0]
    size = PATTERNS.shape[1]
    u, v = (((p / HALF + 1) / 2 * size - 0.5).astype(np.float32) for p in (a, b))
    color = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for k, pattern in enumerate(PATTERNS):
        seen = cv2.remap(pattern, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        color[wall == k] = seen[wall == k]
    return np.rint(color).astype(np.uint8), depth


def walk(n=24):
    """OpenGL camera-to-world of a walk that looks at two walls and their corner."""
    views = []
    for share in np.linspace(0, 1, n):
        angle = np.radians(-35 + 80 * share)
        eye = [0.9 * np.sin(3 * share), 0.4 * np.sin(7 * share), -0.9 + 0.6 * np.cos(4 * share)]
        views.append(look_at(eye, [2 * np.sin(angle), 0.3 * np.cos(5 * share), 2 * np.cos(angle)]))
    return views


def write_room(root, views_gl, written=None):
    """A nerfstudio dataset of the room.

    Args:
        root: its folder.
        views_gl: OpenGL camera-to-world of the images.
        written: the matrices to write instead of these.
    """
    frames = []
    for number, T in enumerate(views_gl):
        color, depth = photograph_room(T)
        write_png(root / f'images/{number:02d}.png', color)
        write_png(root / f'depth/{number:02d}.png', np.rint(depth * 1e3).astype(np.uint16))
        frames.append(
            {
                'file_path': f'images/{number:02d}.png',
                'depth_file_path': f'depth/{number:02d}.png',
                'transform_matrix': (T if written is None else written[number]).tolist(),
            }
        )
    camera = {'fl_x': FOCAL, 'fl_y': FOCAL, 'cx': WIDTH / 2, 'cy': HEIGHT / 2}
    content = {**camera, 'w': WIDTH, 'h': HEIGHT, 'frames': frames}
    (root / 'transforms.json').write_text(json.dumps(content))
    return root
