# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.scenes import Frame, load_image, read_image
from caldiff_ros.scenes.images import fitted_camera


def test_kinds_of_images_become_8_bit_rgb(tmp_path):
    red, gray16, gray = tmp_path / 'red.png', tmp_path / 'gray16.png', tmp_path / 'gray.png'
    cv2.imwrite(str(red), np.full((2, 3, 3), (0, 0, 200), np.uint8))
    cv2.imwrite(str(gray16), np.full((2, 3), 257 * 77, np.uint16))
    cv2.imwrite(str(gray), np.full((2, 3), 50, np.uint8))
    np.testing.assert_array_equal(read_image(red), np.full((2, 3, 3), (200, 0, 0)))
    np.testing.assert_array_equal(read_image(gray16), np.full((2, 3, 3), 77))
    np.testing.assert_array_equal(read_image(gray), np.full((2, 3, 3), 50))


def test_half_transparent_pixels_are_mixed_with_the_background(tmp_path):
    path = tmp_path / 'half.png'
    cv2.imwrite(str(path), np.full((1, 1, 4), (0, 0, 100, 51), np.uint8))  # alpha 0.2
    np.testing.assert_array_equal(read_image(path, 'white'), [[[224, 204, 204]]])
    np.testing.assert_array_equal(read_image(path, 'black'), [[[20, 0, 0]]])


def test_an_image_of_another_resolution_scales_its_camera(tmp_path):
    path = tmp_path / 'image.png'
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels[..., ::-1])
    frame = Frame('image', path, Camera(64, 48, 60, 60, 32, 24), np.eye(4))
    np.testing.assert_array_equal(load_image(frame, frame.camera.downscaled(2)), pixels)


def test_the_fitted_camera_keeps_the_field_of_view():
    camera = Camera(64, 48, 60, 62, 30, 25)
    fitted = fitted_camera(camera, np.zeros((240, 320, 3)), 'x')
    assert fitted == Camera(320, 240, 300, 310, 150, 125)


def test_another_aspect_is_refused():
    with pytest.raises(CaldiffError, match='48x64 pixels but its camera is 64x48'):
        fitted_camera(Camera(64, 48, 60, 62, 30, 25), np.zeros((64, 48, 3)), 'x')
