# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A world that the tests photograph by themselves: the coloured plane z = 0 seen from above."""

import json
from pathlib import Path

import cv2
import numpy as np

from caldiff_ros.scenes import load_image


def look_at(eye, target):
    """OpenGL camera-to-world: right, up, back in the columns."""
    back = np.subtract(eye, target) / np.linalg.norm(np.subtract(eye, target))
    right = np.cross([0, 1, 0], back)
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3] = np.stack([right, np.cross(back, right), back, np.asarray(eye, dtype=float)], axis=1)
    return T


#: Camera-to-world in OpenGL's convention of the four photographs.
VIEWS_GL = [
    look_at([0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    look_at([0.8, -0.3, 2.5], [0.1, 0.0, 0.0]),
    look_at([-0.6, 0.7, 2.8], [0.0, 0.2, 0.0]),
    look_at([0.3, 0.5, 3.4], [0.1, -0.1, 0.0]),
]


def plane_color(x, y):
    """Colour of the plane, (..., 3) in 0..255."""
    waves = [np.sin(5 * x + 2 * y), np.cos(4 * y - 3 * x), np.sin(3 * x) * np.cos(4 * y)]
    return 127 + 110 * np.stack(waves, axis=-1)


def photograph(T_gl, width, height, fx, fy=None, cx=None, cy=None):
    """Colour, uint8 RGB, and depth along the axis of the plane from an OpenGL camera."""
    fy, cx, cy = fy or fx, width / 2 if cx is None else cx, height / 2 if cy is None else cy
    j, i = np.mgrid[:height, :width]
    rays = np.stack([(i + 0.5 - cx) / fx, -(j + 0.5 - cy) / fy, -np.ones((height, width))], axis=-1)
    rays_map = rays @ T_gl[:3, :3].T
    depth = -T_gl[2, 3] / rays_map[..., 2]
    hit = T_gl[:3, 3] + depth[..., None] * rays_map
    return np.rint(plane_color(hit[..., 0], hit[..., 1])).astype(np.uint8), depth


def shows_the_plane(frame):
    """Whether an image has the colours of the plane where its rays meet it."""
    rays = frame.camera.pixel_directions() @ frame.T_map_cam[:3, :3].T
    origin = frame.T_map_cam[:3, 3]
    points = origin - rays * (origin[2] / rays[:, 2])[:, None]
    difference = load_image(frame).reshape(-1, 3) - plane_color(points[:, 0], points[:, 1])
    return np.abs(difference).max() < 2


def write_png(path: Path, pixels):
    """Write RGB, RGBA or 16-bit pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.ndim == 3:
        code = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        pixels = cv2.cvtColor(pixels, code)
    assert cv2.imwrite(str(path), pixels)


def write_nerfstudio(root: Path, views_gl) -> Path:
    """Images 60x40 with depth in units of 0.0001, common intrinsics."""
    frames = []
    for number, T in enumerate(views_gl):
        color, depth = photograph(T, 60, 40, 50.0, 52.0, 29.0, 21.0)
        write_png(root / f'images/{number}.png', color)
        write_png(root / f'depth/{number}.png', np.rint(depth / 1e-4).astype(np.uint16))
        frames.append(
            {
                'file_path': f'images/{number}.png',
                'depth_file_path': f'depth/{number}.png',
                'transform_matrix': T.tolist(),
            }
        )
    content = {'fl_x': 50.0, 'fl_y': 52.0, 'cx': 29.0, 'cy': 21.0, 'w': 60, 'h': 40}
    content |= {'depth_unit_scale_factor': 1e-4, 'frames': frames}
    (root / 'transforms.json').write_text(json.dumps(content))
    return root
