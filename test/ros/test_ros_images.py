# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from caldiff_ros.errors import CaldiffError
from caldiff_ros.ros.conversions import images
from caldiff_ros.ros.conversions.images import assumed_encoding, image_to_rgb, rgb_to_image

#: Red, green, blue, and a dark grey pixel.
RGB = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [40, 40, 40]]], np.uint8)


def message(pixels: np.ndarray, kind: str, **changes) -> Image:
    height, width = pixels.shape[:2]
    fields = {
        'height': height,
        'width': width,
        'encoding': kind,
        'step': pixels[0].nbytes,
        'data': pixels.tobytes(),
    }
    return Image(**{**fields, **changes})


def with_alpha(rgb: np.ndarray) -> np.ndarray:
    return np.concatenate([rgb, np.full((2, 2, 1), 7, np.uint8)], axis=-1)


@pytest.mark.parametrize(
    ('pixels', 'encoding'),
    [
        (RGB, 'rgb8'),
        (RGB[..., ::-1], 'bgr8'),
        (with_alpha(RGB), 'rgba8'),
        (with_alpha(RGB[..., ::-1]), 'bgra8'),
        (RGB.astype(np.uint16) * 257, 'rgb16'),
    ],
)
def test_colours_come_out_red_first(pixels, encoding):
    np.testing.assert_array_equal(image_to_rgb(message(pixels, encoding)), RGB)


def test_grey_is_repeated_in_the_three_channels():
    grey = np.array([[0, 100, 255]], np.uint8)
    np.testing.assert_array_equal(image_to_rgb(message(grey, 'mono8'))[..., 1], grey)
    assert (np.ptp(image_to_rgb(message(grey, 'mono8')), axis=-1) == 0).all()


def test_big_endian_grey_of_16_bits():
    grey = np.array([[0, 257 * 100, 65535]], '>u2')
    rgb = image_to_rgb(message(grey, 'mono16', is_bigendian=1))
    np.testing.assert_array_equal(rgb[0, :, 0], [0, 100, 255])


@pytest.mark.parametrize(
    ('encoding', 'offset'),
    [('bayer_rggb8', (0, 0)), ('bayer_bggr8', (1, 1)), ('bayer_grbg8', (0, 1))],
)
def test_bayer_pattern_of_a_red_scene_is_red(encoding, offset):
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[offset[0] :: 2, offset[1] :: 2] = 200  # only the red pixels of the pattern see light
    center = image_to_rgb(message(mosaic, encoding))[3:5, 3:5].reshape(-1, 3).mean(axis=0)
    assert center[0] > 150 and center[1] < 20 and center[2] < 20


def test_yuv_grey():
    uyvy = np.array([[[128, 60], [128, 200]]], np.uint8)  # chroma 128 is none
    rgb = image_to_rgb(message(uyvy, 'yuv422'))
    expected = cv2.cvtColor(uyvy, cv2.COLOR_YUV2RGB_UYVY)
    np.testing.assert_array_equal(rgb, expected)
    assert (np.ptp(rgb.astype(int), axis=-1) == 0).all()


@pytest.mark.parametrize(('encoding', 'old'), [('uyvy', 'yuv422'), ('yuyv', 'yuv422_yuy2')])
def test_new_names_of_yuv_are_the_old_ones(encoding, old, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 6, 2), np.uint8)
    expected = image_to_rgb(message(pixels, old))
    np.testing.assert_array_equal(image_to_rgb(message(pixels, encoding)), expected)

    class CvBridge:
        """Version 4.1.0 knows the old names only."""

        def imgmsg_to_cv2(self, image, desired_encoding):
            codes = {'yuv422': cv2.COLOR_YUV2RGB_UYVY, 'yuv422_yuy2': cv2.COLOR_YUV2RGB_YUY2}
            rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 2)
            return cv2.cvtColor(rows, codes[image.encoding])

    monkeypatch.setitem(sys.modules, 'cv_bridge', SimpleNamespace(CvBridge=CvBridge))
    monkeypatch.setattr(images, '_convert', images._convert_with_cv_bridge)
    given = message(pixels, encoding)
    np.testing.assert_array_equal(image_to_rgb(given), expected)
    assert given.encoding == encoding  # the message is not ours to change


@pytest.mark.parametrize(
    ('encoding', 'pixels'),
    [('8UC3', RGB[..., ::-1]), ('8UC4', with_alpha(RGB[..., ::-1]))],
)
def test_channels_without_a_meaning_are_in_the_order_of_opencv(encoding, pixels):
    given = message(pixels, encoding)
    np.testing.assert_array_equal(image_to_rgb(given), RGB)
    assert given.encoding == encoding  # the message is not ours to change
    assert assumed_encoding(encoding) in ('bgr8', 'bgra8')


def test_one_channel_without_a_meaning_is_grey():
    grey = np.array([[0, 100, 255]], np.uint8)
    np.testing.assert_array_equal(image_to_rgb(message(grey, '8UC1'))[..., 2], grey)
    assert assumed_encoding('8UC1') == 'mono8'
    assert assumed_encoding('mono8') == ''


def planar(u_first: bool, step: int, red: tuple[int, int, int] = (76, 84, 255)) -> bytes:
    """4 x 2 pixels: the left half of that Y, U, V of BT.601, the right half middle grey."""
    y, u, v = red
    rows = np.full((3, step), 99, np.uint8)
    rows[:2, :4] = [y, y, 126, 126]
    rows[2, :4] = [*((u, v) if u_first else (v, u)), 128, 128]
    return rows.tobytes()


@pytest.mark.parametrize(('encoding', 'u_first'), [('nv12', True), ('nv21', False)])
@pytest.mark.parametrize('step', [4, 7])
def test_planes_of_brightness_and_colour(encoding, u_first, step):
    data = planar(u_first, step)
    fields = {'height': 2, 'width': 4, 'encoding': encoding, 'step': step, 'data': data}
    rgb = image_to_rgb(Image(**fields)).astype(int)
    assert rgb.shape == (2, 4, 3)
    # BT.601 of video range: R = 1.164 (Y - 16) + 1.596 (V - 128), and so on
    np.testing.assert_allclose(rgb[:, :2], np.full((2, 2, 3), (255, 0, 0)), atol=3)
    np.testing.assert_allclose(rgb[:, 2:], np.full((2, 2, 3), 128), atol=3)

    with pytest.raises(CaldiffError, match=f'expected {3 * step} .*3 rows'):
        image_to_rgb(Image(**{**fields, 'data': data[:-1]}))
    with pytest.raises(CaldiffError, match='expected even numbers'):
        image_to_rgb(Image(**{**fields, 'width': 3}))


def test_padding_of_the_rows_is_skipped():
    padded = np.full((2, 16), 99, np.uint8)
    padded[:, :6] = RGB.reshape(2, 6)
    padding = message(RGB, 'rgb8', step=16, data=padded.tobytes())
    np.testing.assert_array_equal(image_to_rgb(padding), RGB)


def test_round_trip():
    header = Header(frame_id='camera')
    out = rgb_to_image(RGB, header)
    assert (out.encoding, out.step, out.width, out.height) == ('rgb8', 6, 2, 2)
    assert out.header.frame_id == 'camera'
    np.testing.assert_array_equal(image_to_rgb(out), RGB)


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        ({'encoding': 'rainbow'}, "'rainbow' is not a known colour"),
        ({'encoding': '32FC1'}, "'32FC1' is not a known colour"),
        ({'encoding': ''}, "'' is not a known colour"),
        ({'width': 0}, 'the image is 0x2 pixels'),
        ({'height': 0}, 'the image is 2x0 pixels'),
        ({'step': 5}, 'step of 5 bytes, expected at least 6'),
        ({'data': RGB.tobytes()[:-1]}, 'has 11 bytes, expected 12'),
        ({'data': b''}, 'has 0 bytes, expected 12'),
    ],
)
def test_images_that_contradict_themselves_are_refused(changes, sentence):
    with pytest.raises(CaldiffError, match=sentence):
        image_to_rgb(message(RGB, 'rgb8', **changes))


def compressed(suffix: str, pixels: np.ndarray = RGB) -> CompressedImage:
    data = cv2.imencode(f'.{suffix}', pixels[..., ::-1])[1].tobytes()
    return CompressedImage(format=f'rgb8; {suffix} compressed bgr8', data=data)


def test_png_comes_out_red_first():
    np.testing.assert_array_equal(image_to_rgb(compressed('png')), RGB)


def test_webp_comes_out_red_first():
    red = np.full((16, 16, 3), (200, 30, 40), np.uint8)
    assert np.abs(image_to_rgb(compressed('webp', red)).astype(int) - red).max() < 5


def test_jpeg_comes_out_red_first_also_with_padding():
    red = np.full((16, 16, 3), (200, 30, 40), np.uint8)
    message = compressed('jpg', red)
    message.data = bytes(message.data) + bytes(100)
    assert np.abs(image_to_rgb(message).astype(int) - red).max() < 5


@pytest.mark.parametrize('suffix', ['png', 'jpg', 'webp'])
@pytest.mark.parametrize('kept', [0.9, 0.5, 0.1])
def test_files_that_were_cut_off_are_refused(suffix, kept):
    noise = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    message = compressed(suffix, noise)
    message.data = bytes(message.data)[: int(kept * len(message.data))]
    with pytest.raises(CaldiffError, match='cut off or damaged'):
        image_to_rgb(message)


@pytest.mark.parametrize('data', [b'', b'GIF89a', bytes(12) + b'\x89PNG', b'RIFF\x04\0\0\0WAVE'])
def test_other_files_are_refused(data):
    with pytest.raises(CaldiffError, match='expected a JPEG, PNG or WebP'):
        image_to_rgb(CompressedImage(format='16UC1; compressedDepth png', data=data))
