# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Metres per unit of a reconstruction, from what is known of the place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from caldiff_ros.capture.pictures import Picture, Pictures
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry.similarity import Similarity
from caldiff_ros.wording import counted

#: Frames of a video further than this from the time that was asked for are not meant, in seconds.
_MAX_TIME_OFF = 1.0
_MIN_GPS = 5
#: The cameras must be this many times further apart than GPS and reconstruction disagree.
_GPS_SIGNAL = 3.0
_GPS_ROUNDS = 5
_EARTH_RADIUS_M = 6_378_137.0
_EARTH_ECCENTRICITY_SQUARED = 0.00669437999014


@dataclass(frozen=True)
class Scale:
    """How long a unit is.

    Attributes:
        metres_per_unit: positive.
        how: where it comes from and how sure it is, for the report.
    """

    metres_per_unit: float
    how: str


@dataclass(frozen=True)
class Solved:
    """A reconstruction with what it was made from.

    Attributes:
        model: of pycolmap.
        taken: all pictures, also those without pose.
        images: folder of the pictures.
    """

    model: Any
    taken: Pictures
    images: Path

    def registered(self) -> list[tuple[Picture, Any]]:
        """Pictures that have a pose, with pycolmap's image of each."""
        posed = {image.name: image for image in self.model.images.values() if image.has_pose}
        return [(p, posed[p.name]) for p in self.taken.pictures if p.name in posed]

    def centers(self) -> np.ndarray:
        """Camera centres (N, 3) of `registered`."""
        return np.array([image.projection_center() for _, image in self.registered()])


class ScaleSource(Protocol):
    """Something whose size is known."""

    def measure(self, solved: Solved) -> Scale:
        """The scale.

        Raises:
            CaldiffError: if the reconstruction does not show it.
        """


@dataclass(frozen=True)
class MeasuredDistance:
    """The distance between two places where pictures were taken.

    Attributes:
        first: name of a photo, or time in the video in seconds.
        second: of the other place.
        metres: between them.
    """

    first: str
    second: str
    metres: float

    def __post_init__(self) -> None:
        if not 0 < self.metres < float('inf'):
            raise CaldiffError(
                f'the distance is {self.metres} m, expected a positive number of metres; measure it'
            )

    def measure(self, solved: Solved) -> Scale:
        """See `ScaleSource`."""
        pictures = [picture for picture, _ in solved.registered()]
        i, j = _find(self.first, pictures), _find(self.second, pictures)
        centers = solved.centers()
        units = float(np.linalg.norm(centers[i] - centers[j]))

        if units <= 1e-9 * float(np.ptp(centers, axis=0).max()):
            raise CaldiffError(
                f'{self.first} and {self.second} are at the same position, expected two that are '
                f'{self.metres} m apart; give two others'
            )

        how = f'{self.metres} m between {pictures[i].name} and {pictures[j].name}'
        return Scale(self.metres / units, how)


@dataclass(frozen=True)
class Gps:
    """Where the photos' EXIF says they were taken."""

    def measure(self, solved: Solved) -> Scale:
        """See `ScaleSource`."""
        known = [picture.gps is not None for picture, _ in solved.registered()]
        if sum(known) < _MIN_GPS:
            raise CaldiffError(
                f'the EXIF of {counted(sum(known), "photo")} with a pose has GPS, expected at '
                f'least {_MIN_GPS}; measure a distance instead (--distance)'
            )

        gps = np.array([p.gps for p, _ in solved.registered() if p.gps is not None])
        places_m = local_metres(gps)
        centers = solved.centers()[np.array(known)]
        used = np.ones(len(gps), bool)

        # GPS jumps, so what disagrees most is left out
        for _ in range(_GPS_ROUNDS):
            fitted = Similarity.fit(places_m[used], centers[used])
            off_m = np.linalg.norm(fitted.transform(centers) - places_m, axis=1)
            used = off_m <= max(3 * float(np.median(off_m)), 1e-6)

        error_m = float(np.sqrt((off_m[used] ** 2).mean()))
        extent_m = float(np.linalg.norm(np.std(places_m[used], axis=0)))
        if extent_m < _GPS_SIGNAL * error_m:
            raise CaldiffError(
                f'the photos spread by {extent_m:.1f} m and their GPS is off by {error_m:.1f} m, '
                f'expected a spread of at least {_GPS_SIGNAL:.0f} times that; measure a distance '
                'instead (--distance)'
            )

        how = f'GPS of {used.sum()} photos, which the poses fit to {error_m:.2g} m'
        return Scale(fitted.scale, how)


def local_metres(gps: np.ndarray) -> np.ndarray:
    """East, north and up (N, 3) in metres from the first of some places on WGS 84.

    Args:
        gps: latitude and longitude in degrees, altitude in metres, (N, 3).
    """
    latitude, longitude = np.radians(gps[:, 0]), np.radians(gps[:, 1])
    normal = _EARTH_RADIUS_M / np.sqrt(1 - _EARTH_ECCENTRICITY_SQUARED * np.sin(latitude) ** 2)
    from_axis = (normal + gps[:, 2]) * np.cos(latitude)
    height = (normal * (1 - _EARTH_ECCENTRICITY_SQUARED) + gps[:, 2]) * np.sin(latitude)
    earth = np.stack([from_axis * np.cos(longitude), from_axis * np.sin(longitude), height], -1)

    sin_lat, cos_lat = np.sin(latitude[0]), np.cos(latitude[0])
    sin_lon, cos_lon = np.sin(longitude[0]), np.cos(longitude[0])
    R_local_earth = np.array(
        [
            [-sin_lon, cos_lon, 0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
        ]
    )
    return (earth - earth[0]) @ R_local_earth.T


def _find(text: str, pictures: list[Picture]) -> int:
    """Index of the picture with a name, a file name or a time."""
    for i, picture in enumerate(pictures):
        path = Path(picture.name)
        if text in (picture.name, path.name, path.stem):
            return i

    times = [picture.seconds for picture in pictures]
    try:
        wanted = float(text.removesuffix('s'))
        off = [abs(time - wanted) for time in times if time is not None]
    except ValueError:
        off = []

    if not off or min(off) > _MAX_TIME_OFF:
        raise CaldiffError(
            f'{text!r} is not a picture with a pose, expected a file name such as '
            f'{pictures[0].name}, or a time of the video in seconds; give another'
        )
    return int(np.argmin(off))
