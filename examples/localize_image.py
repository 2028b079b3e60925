# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where was this image taken? A held-out image of the demo, localized in the shipped map."""

from pathlib import Path

from caldiff_ros import LocalizationMap, Localizer, read_image

ROOT = Path(__file__).resolve().parents[1]

localizer = Localizer(LocalizationMap.load(ROOT / 'maps/diorama_room'))
image = read_image(ROOT / 'demo/images/10.png')  # uint8 RGB (H, W, 3)

# The demo's images come from the camera of the map, at another resolution. For any other camera:
# caldiff_ros.Camera(width, height, fx, fy, cx, cy, 'plumb_bob', (k1, k2, p1, p2, k3)).
camera = localizer.map.camera.resized(width=image.shape[1], height=image.shape[0])

answer = localizer.localize(image, camera)
print(f'{answer.status.name}, confidence {answer.confidence:.2f}, {answer.seconds:.2f} s')
print(answer.T_map_cam.round(4))
