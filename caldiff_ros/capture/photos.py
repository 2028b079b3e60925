# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Photos of a folder: checked, upright, and what the camera wrote into them."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from caldiff_ros.capture.pictures import (
    WORKING_SIZE,
    Picture,
    Pictures,
    check_space,
    reduced,
    sharpness,
)
from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.context import Report
from caldiff_ros.scenes.pixels import image_size, orientation_of
from caldiff_ros.wording import counted

_COPIED = ('.jpg', '.jpeg', '.png')
_EXTENSIONS = (*_COPIED, '.bmp', '.tif', '.tiff', '.webp')
#: Pixel formats that are written as they are.
_MODES = ('L', 'RGB')
_JPEG_QUALITY = 95
_MIN_PHOTOS = 3
_DIAGONAL_35MM = math.hypot(36, 24)
#: Millimetres of EXIF's units of FocalPlaneResolutionUnit: inch and centimetre.
_RESOLUTION_UNITS_MM = {2: 25.4, 3: 10.0}


@dataclass(frozen=True)
class Exif:
    """What a camera wrote into a photo.

    Attributes:
        orientation: EXIF's number; 1 is upright.
        model: of the camera.
        focal_px: focal length in pixels.
        gps: latitude and longitude in degrees, altitude in metres.
    """

    orientation: int
    model: str
    focal_px: float | None
    gps: tuple[float, float, float] | None


def photo_paths(folder: Path) -> list[Path]:
    """The photos in a folder and the folders in it, by name; hidden files are none."""
    return sorted(
        path
        for path in folder.rglob('*')
        if path.suffix.lower() in _EXTENSIONS and not path.name.startswith('.') and path.is_file()
    )


def take_photos(folder: Path, images: Path, report: Report) -> Pictures:
    """Copy the photos of a folder, turned upright where EXIF says that they are not.

    Args:
        folder: the photos.
        images: folder of the copies.
        report: receives the progress of the stage 'photos'.

    Raises:
        CaldiffError: if there are too few photos.
    """
    paths = photo_paths(folder)
    _check_number(folder, len(paths), 'photo')
    check_space(images, sum(path.stat().st_size for path in paths) + len(paths) * 2**20)

    common = Path(os.path.commonpath([path.parent for path in paths]))
    pictures: list[Picture] = []
    unreadable = []
    names: set[str] = set()

    for number, path in enumerate(paths, 1):
        name = _new_name(path.relative_to(common), names)
        try:
            pictures.append(_take_photo(path, images, name))
            names.add(name)
        except CaldiffError as error:
            unreadable.append(str(error))
        report('photos', number, len(paths), {})

    _check_number(folder, len(pictures), 'readable photo')
    return Pictures(pictures, False, unreadable)


def read_exif(image: Image.Image) -> Exif:
    """What a camera wrote into a photo, as far as it makes sense."""
    exif = image.getexif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    model = str(exif.get(ExifTags.Base.Model, '')).strip('\0 ')

    gps = _gps(exif.get_ifd(ExifTags.IFD.GPSInfo))
    return Exif(orientation_of(image), model, _focal_px(details, image.size), gps)


def _take_photo(path: Path, images: Path, name: str) -> Picture:
    try:
        with Image.open(path) as image:
            if image.mode.startswith('I'):
                raise CaldiffError(f'{path} is skipped because it is a depth image, not a photo')
            exif = read_exif(image)
            image.draft('L', (WORKING_SIZE, WORKING_SIZE))  # a JPEG is reduced while it is read
            gray = reduced(np.asarray(image.convert('L')))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CaldiffError(f'{path} is skipped because it cannot be read ({error})') from error

    target = images / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if exif.orientation == 1 and path.suffix.lower() in _COPIED:
        # not shutil.copyfile, whose error of a full disk names the photo
        target.write_bytes(path.read_bytes())
    else:
        with Image.open(path) as image:
            # without the EXIF, as what it says of the size and orientation is over
            upright = ImageOps.exif_transpose(image)
            if upright.mode not in _MODES:
                upright = upright.convert('RGB')
            upright.save(target, quality=_JPEG_QUALITY, exif=b'')

    width, height = image_size(path, upright=True)
    focal = f'{exif.focal_px:.0f} px' if exif.focal_px else ''
    camera = f'{exif.model} {width}x{height} {focal}'.strip()

    return Picture(name, width, height, camera, sharpness(gray), exif.focal_px, gps=exif.gps)


def _new_name(relative: Path, taken: set[str]) -> str:
    """A name that COLMAP's lists can hold: no white space, and in a format that all can read."""
    name = re.sub(r'\s', '_', relative.as_posix())
    if relative.suffix.lower() not in _COPIED:
        name += '.png'

    unique, number = name, 2
    while unique in taken:
        unique = f'{Path(name).with_suffix("")}_{number}{Path(name).suffix}'
        number += 1
    return unique


def _focal_px(details: dict, size: tuple[int, int]) -> float | None:
    """Focal length in pixels, from its equivalent at 35 mm film or the pitch of the pixels."""
    equivalent = _number(details.get(ExifTags.Base.FocalLengthIn35mmFilm))
    if equivalent:
        return equivalent / _DIAGONAL_35MM * math.hypot(*size)

    focal_mm = _number(details.get(ExifTags.Base.FocalLength))
    resolution = _number(details.get(ExifTags.Base.FocalPlaneXResolution))
    unit_mm = _RESOLUTION_UNITS_MM.get(details.get(ExifTags.Base.FocalPlaneResolutionUnit, 2))
    if not (focal_mm and resolution and unit_mm):
        return None

    # the resolution is that of the picture as it was taken, which may have been larger
    taken = _number(details.get(ExifTags.Base.ExifImageWidth)) or max(size)
    return focal_mm / unit_mm * resolution * max(size) / max(taken, 1)


def _gps(tags: dict) -> tuple[float, float, float] | None:
    latitude = _degrees(tags, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, 'S')
    longitude = _degrees(tags, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, 'W')
    if latitude is None or longitude is None:
        return None

    altitude = _number(tags.get(ExifTags.GPS.GPSAltitude)) or 0.0
    below = tags.get(ExifTags.GPS.GPSAltitudeRef) in (1, b'\x01')
    return latitude, longitude, -altitude if below else altitude


def _degrees(tags: dict, key: int, sign_key: int, negative: str) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in tags[key])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None

    total = degrees + minutes / 60 + seconds / 3600
    return -total if tags.get(sign_key) == negative else total


def _number(value: object) -> float | None:
    """A finite number, or None where EXIF has something else; it is full of 0/0."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _check_number(folder: Path, n: int, what: str) -> None:
    if n < _MIN_PHOTOS:
        raise CaldiffError(
            f'{folder} holds {counted(n, what)}, expected at least {_MIN_PHOTOS} that overlap, '
            'better 30; add photos of the place from more positions'
        )
