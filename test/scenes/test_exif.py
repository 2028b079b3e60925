# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Photographs that are stored turned, with the EXIF orientation that turns them back."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.scenes import load_image, open_scene, read_image
from caldiff_ros.scenes.images import shows_upright
from caldiff_ros.scenes.pixels import exif_orientation, image_size

#: What a camera program does to an upright image before it stores it with an orientation.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def store(path, upright, orientation):
    """Write an upright image (H, W, 3) turned, as PNG or JPEG."""
    image = Image.fromarray(upright)
    if orientation in STORED:
        image = image.transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


@pytest.fixture
def upright():
    return np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_every_orientation_is_turned_back(tmp_path, upright, orientation):
    path = tmp_path / 'image.png'
    store(path, upright, orientation)
    assert exif_orientation(path) == orientation
    assert image_size(path, upright=True) == (6, 4)
    assert image_size(path) == ((4, 6) if orientation >= 5 else (6, 4))
    np.testing.assert_array_equal(read_image(path, upright=True), upright)
    # and as another program sees it
    seen = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(read_image(path, upright=True), seen)
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path)))


def test_images_without_orientation_and_with_a_wrong_one(tmp_path, upright):
    cv2.imwrite(str(tmp_path / 'plain.jpg'), upright)
    store(tmp_path / 'wrong.jpg', upright, 9)
    assert exif_orientation(tmp_path / 'plain.jpg') == 1
    assert exif_orientation(tmp_path / 'wrong.jpg') == 1


@pytest.mark.parametrize(
    ('size', 'orientation', 'as_stored', 'turned'),
    [
        ((60, 40), 6, False, True),  # stored as 40x60
        ((30, 20), 8, False, True),
        ((40, 60), 6, False, False),
        ((60, 40), 3, False, True),
        ((60, 40), 3, True, False),  # sizes do not decide
        ((60, 40), 6, True, True),  # they do
        ((60, 40), 1, False, False),
        ((50, 50), 6, False, False),
    ],
)
def test_the_size_of_the_camera_decides(tmp_path, size, orientation, as_stored, turned):
    path = tmp_path / 'image.jpg'
    store(path, np.zeros((40, 60, 3), np.uint8), orientation)
    camera = Camera(*size, 50.0, 50.0, size[0] / 2, size[1] / 2)
    assert shows_upright(path, camera, as_stored) is turned


def rewrite(root, orientation):
    for path in (root / 'images').glob('*.png'):
        store(path, read_image(path), orientation)


@pytest.mark.parametrize('orientation', [3, 6, 8])
def test_training_images_are_turned_where_the_intrinsics_are_of_the_upright_image(
    nerfstudio, orientation, caplog
):
    expected = [load_image(frame) for frame in open_scene(nerfstudio).frames]
    rewrite(nerfstudio, orientation)
    frames = open_scene(nerfstudio).frames
    for frame, image in zip(frames, expected, strict=True):
        assert (frame.camera.width, frame.camera.height) == (60, 40)
        np.testing.assert_array_equal(load_image(frame), image)
    # that an image is upside down cannot be told from its size
    assert len(caplog.records) == (1 if orientation == 3 else 0)


def test_without_a_size_it_is_that_of_the_upright_image(nerfstudio, edit_json):
    rewrite(nerfstudio, 6)

    def change(content):
        for key in ('w', 'h', 'cx', 'cy'):
            del content[key]

    edit_json(nerfstudio / 'transforms.json', change)
    camera = open_scene(nerfstudio).frames[0].camera
    assert (camera.width, camera.height, camera.cx, camera.cy) == (60, 40, 30, 20)


def test_intrinsics_of_the_stored_image_leave_it_as_it_is(nerfstudio, edit_json):
    expected = load_image(open_scene(nerfstudio).frames[0])
    for path in (nerfstudio / 'images').glob('*.png'):
        Image.fromarray(read_image(path)).save(path, exif=_exif(6))
    frame = open_scene(nerfstudio).frames[0]
    assert not frame.upright
    np.testing.assert_array_equal(load_image(frame), expected)


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_a_wrong_aspect_is_refused_with_the_orientation(nerfstudio):
    store(nerfstudio / 'images/0.png', np.zeros((40, 40, 3), np.uint8), 6)
    frame = open_scene(nerfstudio).frames[0]
    with pytest.raises(CaldiffError, match=r'40x40 pixels \(EXIF orientation 6\) but its camera'):
        load_image(frame)
