# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A room corner that the tests photograph by themselves, for structure from motion."""

import cv2
import numpy as np

from caldiff_ros.geometry import Camera
from caldiff_ros.geometry.similarity import Similarity

CAMERA = Camera(320, 240, 300.0, fy=300.0, cx=160.0, cy=120.0)
#: Up in the room is z; the walls are x = 0 and y = 0, the floor z = 0; metres.
ROOM_SIDE = 4.0
_TEXELS = 1024


class Room:
    """Three textured planes; what is printed on them can be replaced."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.textures = [self._texture(rng) for _ in range(3)]

    @staticmethod
    def _texture(rng):
        """Blobs of all sizes, which SIFT likes."""
        size = (_TEXELS, _TEXELS)
        layers = [
            cv2.resize(rng.uniform(0, 1, (n, n, 3)), size, interpolation=cv2.INTER_CUBIC)
            for n in (16, 40, 100, 250)
        ]
        texture = sum(layers) / len(layers)
        return np.clip((texture - 0.5) * 2.5 + 0.5, 0, 1) * 255

    def photograph(self, T_map_cam, camera=CAMERA):
        """Uint8 RGB (H, W, 3) from an optical camera inside the room."""
        rays = camera.pixel_directions() @ T_map_cam[:3, :3].T
        center = T_map_cam[:3, 3]
        nearest = np.full(len(rays), np.inf)
        color = np.zeros((len(rays), 3))
        for axis, texture in enumerate(self.textures):
            with np.errstate(divide='ignore', invalid='ignore'):
                depth = -center[axis] / rays[:, axis]
            hit = center + np.where(np.isfinite(depth), depth, 0)[:, None] * rays
            uv = np.delete(hit, axis, axis=1) / ROOM_SIDE * _TEXELS
            valid = (depth > 0) & (depth < nearest) & ((uv >= 0) & (uv < _TEXELS)).all(1)
            u, v = uv.T.reshape(2, camera.height, camera.width).astype(np.float32) - 0.5
            sampled = cv2.remap(texture.astype(np.float32), u, v, cv2.INTER_LINEAR)
            color[valid] = sampled.reshape(-1, 3)[valid]
            nearest[valid] = depth[valid]
        image = np.rint(color).clip(0, 255).astype(np.uint8)
        return image.reshape(camera.height, camera.width, 3)


def look_at(eye, target):
    """Optical camera-to-world, the image upright."""
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3] = np.stack([right, np.cross(forward, right), forward, np.asarray(eye, float)], axis=1)
    return T


def arc(n):
    """Cameras that walk past the corner, looking into it."""
    angles = np.linspace(0.35, 1.2, n)
    eyes = np.stack(
        [2.8 * np.cos(angles), 2.8 * np.sin(angles), 1.5 + 0.3 * np.sin(5 * angles)], -1
    )
    return [look_at(eye, [0.6, 0.6, 1.0]) for eye in eyes]


def compare(scene, poses):
    """Similarity to the true poses, distances in metres and angles in degrees that remain."""
    true = np.array([poses[frame.image_path.name] for frame in scene.frames])
    found = np.array([frame.T_map_cam for frame in scene.frames])
    fitted = Similarity.fit(true[:, :3, 3], found[:, :3, 3])
    off = np.linalg.norm(fitted.transform(found[:, :3, 3]) - true[:, :3, 3], axis=1)
    chords = np.linalg.norm(fitted.R @ found[:, :3, :3] - true[:, :3, :3], axis=(1, 2))
    return fitted, off, 2 * np.degrees(np.arcsin(chords / np.sqrt(8)))


def write_jpeg(path, rgb, quality=97):
    """Write pixels as a photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    assert cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


def write_video(path, images, rate=30):
    """Write pixels as a video that OpenCV can decode on every machine."""
    height, width = images[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), rate, (width, height))
    assert video.isOpened()
    for rgb in images:
        video.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    video.release()


def printed(room, gray, width_m):
    """A copy of the room with a picture (H, W) uint8 of some width on white paper on a wall.

    Its upper left corner is 0.15 m right of the corner of the room, 1.3 m above the floor.
    """
    per_metre = _TEXELS / ROOM_SIDE
    size = (round(width_m * per_metre), round(width_m * gray.shape[0] / gray.shape[1] * per_metre))
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(float)
    small = np.pad(small, 20, constant_values=255)
    copy = Room()
    wall = room.textures[0].copy()
    # seen from inside, y grows to the left and z upwards; texel (u, v) is at y = u, z = v
    u, v = (round(metres * per_metre) for metres in (0.15, 1.3))
    height, width = small.shape
    wall[v - height + 20 : v + 20, u - 20 : u - 20 + width] = small[::-1, :, None]
    copy.textures = [wall, *room.textures[1:]]
    return copy
