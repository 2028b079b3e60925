# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Photos are copied upright, with what the camera wrote into them."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from caldiff_ros.capture.photos import read_exif, take_photos
from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.context import no_report


def write(path, exif=None, size=(60, 40)):
    """A photo that is dark on its left and bright on its right."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, size[0] // 2 :] = 200
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=Image.Exif() if exif is None else exif, quality=95)


def exif_with(base=(), details=(), gps=()):
    exif = Image.Exif()
    exif.update(base)
    exif.get_ifd(ExifTags.IFD.Exif).update(details)
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    return exif


def reread(exif, tmp_path, size=(60, 40)):
    write(tmp_path / 'photo.jpg', exif, size)
    with Image.open(tmp_path / 'photo.jpg') as image:
        return read_exif(image)


def test_photos_are_turned_upright_and_make_a_camera_of_their_own(tmp_path):
    for number in range(3):
        write(tmp_path / f'in/{number}.jpg')
    write(tmp_path / 'in/turned.jpg', exif_with({ExifTags.Base.Orientation: 6}))
    (tmp_path / 'out').mkdir()
    taken = take_photos(tmp_path / 'in', tmp_path / 'out', no_report).pictures
    assert [(p.width, p.height) for p in taken] == [(60, 40)] * 3 + [(40, 60)]
    assert len({p.camera for p in taken}) == 2
    with Image.open(tmp_path / 'out/turned.jpg') as image:
        upright = np.asarray(image.convert('L'))
        assert not image.getexif()
    # orientation 6 is turned clockwise: what was left is above
    assert upright.shape == (60, 40) and upright[:25].max() < 30 and upright[35:].min() > 170
    assert (tmp_path / 'out/0.jpg').read_bytes() == (tmp_path / 'in/0.jpg').read_bytes()


def test_the_focal_length_follows_from_that_of_35_mm_film(tmp_path):
    exif = exif_with(details={ExifTags.Base.FocalLengthIn35mmFilm: 36})
    # 60 pixels are 36 mm wide in 3:2
    assert reread(exif, tmp_path).focal_px == pytest.approx(60)


def test_the_focal_length_follows_from_the_pitch_of_the_pixels(tmp_path):
    exif = exif_with(
        details={
            ExifTags.Base.FocalLength: 50.0,
            ExifTags.Base.FocalPlaneXResolution: 100.0,  # pixels in a centimetre
            ExifTags.Base.FocalPlaneResolutionUnit: 3,
            ExifTags.Base.ExifImageWidth: 240,  # the photo was reduced by 4
        }
    )
    assert reread(exif, tmp_path).focal_px == pytest.approx(50 * 10 / 4)


def test_gps_is_read_with_its_signs(tmp_path):
    exif = exif_with(
        gps={
            ExifTags.GPS.GPSLatitudeRef: 'S',
            ExifTags.GPS.GPSLatitude: (10.0, 30.0, 36.0),
            ExifTags.GPS.GPSLongitudeRef: 'E',
            ExifTags.GPS.GPSLongitude: (20.0, 0.0, 0.0),
            ExifTags.GPS.GPSAltitude: 12.5,
        }
    )
    assert reread(exif, tmp_path).gps == pytest.approx((-10.51, 20.0, 12.5))


def test_a_photo_without_exif_tells_nothing(tmp_path):
    found = reread(None, tmp_path)
    assert (found.orientation, found.model, found.focal_px, found.gps) == (1, '', None, None)


def test_names_are_kept_apart_and_without_spaces(tmp_path):
    for name in ('in/a b.jpg', 'in/a_b.jpg', 'in/more/a.bmp'):
        write(tmp_path / name)
    (tmp_path / 'in/._a.jpg').write_bytes(b'hidden')
    (tmp_path / 'out').mkdir()
    taken = take_photos(tmp_path / 'in', tmp_path / 'out', no_report)
    names = [picture.name for picture in taken.pictures]
    assert sorted(names) == ['a_b.jpg', 'a_b_2.jpg', 'more/a.bmp.png']
    assert all((tmp_path / 'out' / name).is_file() for name in names)


def test_depth_images_are_left_out(tmp_path):
    for number in range(3):
        write(tmp_path / f'in/{number}.jpg')
    Image.fromarray(np.full((40, 60), 1500, np.uint16)).save(tmp_path / 'in/0.depth.png')
    (tmp_path / 'out').mkdir()
    taken = take_photos(tmp_path / 'in', tmp_path / 'out', no_report)
    assert len(taken.pictures) == 3
    assert '0.depth.png is skipped because it is a depth image' in taken.unreadable[0]


def test_one_photo_is_too_few(tmp_path):
    write(tmp_path / 'in/0.jpg')
    with pytest.raises(CaldiffError, match='holds 1 photo, expected at least 3'):
        take_photos(tmp_path / 'in', tmp_path, no_report)
