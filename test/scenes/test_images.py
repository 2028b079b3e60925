# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
from PIL import Image

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.scenes import Frame, load_image, read_image
from caldiff_ros.scenes.images import fitted_camera, read_frame
from caldiff_ros.scenes.pixels import has_alpha, possible_reduction


def test_kinds_of_images_become_8_bit_rgb(tmp_path):
    red, gray16, gray = tmp_path / 'red.png', tmp_path / 'gray16.png', tmp_path / 'gray.png'
    cv2.imwrite(str(red), np.full((2, 3, 3), (0, 0, 200), np.uint8))
    cv2.imwrite(str(gray16), np.full((2, 3), 257 * 77, np.uint16))
    cv2.imwrite(str(gray), np.full((2, 3), 50, np.uint8))
    np.testing.assert_array_equal(read_image(red), np.full((2, 3, 3), (200, 0, 0)))
    np.testing.assert_array_equal(read_image(gray16), np.full((2, 3, 3), 77))
    np.testing.assert_array_equal(read_image(gray), np.full((2, 3, 3), 50))


def test_palette_grey_and_alpha_in_any_combination(tmp_path):
    pixels = np.array([[[200, 0, 0], [0, 100, 0]], [[0, 0, 50], [7, 8, 9]]], np.uint8)
    palette = Image.fromarray(pixels).convert('P', palette=Image.Palette.ADAPTIVE, colors=4)
    palette.save(tmp_path / 'palette.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'palette.png'), pixels)

    see_through = palette.copy()
    see_through.info['transparency'] = palette.getpixel((0, 0))
    see_through.save(tmp_path / 'transparent.png')
    assert has_alpha(tmp_path / 'transparent.png') and not has_alpha(tmp_path / 'palette.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'transparent.png')[0, 0], 255)
    np.testing.assert_array_equal(read_image(tmp_path / 'transparent.png')[1], pixels[1])

    grey = Image.merge('LA', [Image.new('L', (2, 1), 100), Image.new('L', (2, 1), 51)])
    grey.save(tmp_path / 'grey.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'grey.png', 'black'), [[[20] * 3] * 2])

    deep = np.full((1, 2, 4), (257 * 30, 257 * 20, 257 * 10, 65535), np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    np.testing.assert_array_equal(read_image(tmp_path / 'deep.png'), [[[10, 20, 30]] * 2])

    Image.new('1', (2, 1), 1).save(tmp_path / 'bit.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'bit.png'), [[[255] * 3] * 2])


def test_names_may_have_spaces_and_any_letters(tmp_path):
    path = tmp_path / 'Küche 厨房' / 'frame 1 [left].png'
    path.parent.mkdir()
    Image.new('RGB', (2, 1), (1, 2, 3)).save(path)
    np.testing.assert_array_equal(read_image(path), [[[1, 2, 3]] * 2])


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


@pytest.mark.parametrize(
    ('name', 'size', 'wanted', 'reduction'),
    [
        ('a.jpg', (160, 80), 9.0, 8),
        ('a.jpg', (160, 80), 3.9, 2),
        ('a.jpg', (160, 80), 1.9, 1),
        ('a.jpg', (164, 80), 9.0, 4),  # an eighth is 20.5 pixels wide
        ('a.png', (160, 80), 9.0, 1),
    ],
)
def test_only_jpeg_files_are_decoded_reduced_and_only_exactly(
    tmp_path, name, size, wanted, reduction
):
    Image.new('RGB', size).save(tmp_path / name)
    assert possible_reduction(tmp_path / name, wanted) == reduction


@pytest.mark.parametrize('orientation', [1, 6])
def test_an_image_that_is_decoded_reduced_is_the_same(tmp_path, orientation):
    # left half dark, right half bright, a step in the middle; stored turned for orientation 6
    pixels = np.full((480, 800, 3), 40, np.uint8)
    pixels[:, 400:] = 200
    stored = Image.fromarray(pixels if orientation == 1 else np.ascontiguousarray(np.rot90(pixels)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / 'large.jpg', quality=95, exif=exif)

    camera = Camera(800, 480, 700.0, 700.0, 400.0, 240.0)
    frame = Frame('large', tmp_path / 'large.jpg', camera, np.eye(4), upright=True)
    target = camera.downscaled(10)
    reduced, of_reduced = read_frame(frame, target=target)
    assert reduced.shape == (120, 200, 3)
    assert of_reduced == camera.downscaled(4)

    image = load_image(frame, target).astype(int)
    assert image.shape == (48, 80, 3)
    np.testing.assert_allclose(image[:, :39], 40, atol=2)
    np.testing.assert_allclose(image[:, 41:], 200, atol=2)
