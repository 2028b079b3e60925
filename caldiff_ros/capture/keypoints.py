# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""COLMAP's database: cameras, keypoints and matches; what it holds already is not made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caldiff_ros.capture.cameras import colmap_camera_of
from caldiff_ros.capture.config import EXTRA, CaptureConfig
from caldiff_ros.capture.pictures import Picture
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.packages import load_pycolmap

if TYPE_CHECKING:
    from caldiff_ros.mapping.context import Report

#: Names i and j of two images.
NamePair = tuple[str, str]

#: Work is handed to COLMAP in portions, between which progress is reported and Ctrl-C is handled.
_IMAGES_AT_ONCE = 8
_PAIRS_AT_ONCE = 64
#: Longer side in pixels from which on COLMAP's tolerances fit, and the least share of them.
_FULL_TOLERANCE_SIZE = 960
_LEAST_TOLERANCE = 0.4
#: Contrast of the weakest keypoints, a seventh of COLMAP's default: at that, dim rooms and plain
#: walls fall to pieces.
_PEAK_THRESHOLD = 1e-3


@dataclass(frozen=True)
class Workplace:
    """Files and threads of a reconstruction.

    Attributes:
        database: COLMAP's file.
        images: folder of the pictures.
        config: the settings.
        threads: number of threads; -1 for one per core.
        report: receives the progress.
        tolerance: COLMAP's tolerances in pixels, which are made for large images, times this.
        cameras: calibrated ones, which are kept, by `Picture.camera`; empty where they are to be
            found out.
    """

    database: Path
    images: Path
    config: CaptureConfig
    threads: int
    report: Report
    tolerance: float
    cameras: Mapping[str, Camera] = field(default_factory=dict)

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The database, which is made where there is none.

        Raises:
            CaldiffError: if that fails.
        """
        try:
            database = load_pycolmap(EXTRA).Database.open(str(self.database))
        except RuntimeError as error:
            raise CaldiffError(
                f'{self.database} cannot be opened or made ({error}), expected a database of '
                'COLMAP; free disk space, or delete its folder to start over'
            ) from error

        try:
            yield database
        finally:
            database.close()

    def image_ids(self) -> dict[str, int]:
        """Numbers of the images in the database, by their name."""
        with self.opened() as database:
            return {image.name: image.image_id for image in database.read_all_images()}


def tolerance_of(pictures: Sequence[Picture]) -> float:
    """See `Workplace`."""
    sides = sorted(max(picture.width, picture.height) for picture in pictures)
    return min(max(sides[len(sides) // 2] / _FULL_TOLERANCE_SIZE, _LEAST_TOLERANCE), 1.0)


def find_keypoints(pictures: Sequence[Picture], at: Workplace) -> None:
    """Find the keypoints of all pictures; reports the stage 'keypoints'."""
    pycolmap = load_pycolmap(EXTRA)
    cameras = _write_cameras(pictures, at)
    done = at.image_ids()
    left = [picture for picture in pictures if picture.name not in done]
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = at.threads
    options.max_image_size = at.config.max_image_size
    options.sift.max_num_features = at.config.max_keypoints
    options.sift.peak_threshold = _PEAK_THRESHOLD

    n_done = len(pictures) - len(left)
    for camera, number in cameras.items():
        names = [picture.name for picture in left if picture.camera == camera]
        reader = pycolmap.ImageReaderOptions()
        reader.existing_camera_id = number

        for portion in _portions(names, _IMAGES_AT_ONCE):
            pycolmap.extract_features(
                at.database, at.images, portion, pycolmap.CameraMode.SINGLE, reader, options
            )
            n_done += len(portion)
            at.report('keypoints', n_done, len(pictures), {})


def match(pairs: Sequence[NamePair], at: Workplace) -> None:
    """Match pairs of images and verify the matches; reports the stage 'matches'."""
    pycolmap = load_pycolmap(EXTRA)
    left = _unmatched(pairs, at)
    options = pycolmap.FeatureMatchingOptions()
    options.num_threads = at.threads
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = at.config.seed
    verification.ransac.max_error *= at.tolerance
    pairing = pycolmap.ImportedPairingOptions()
    pairs_file = at.database.with_name('pairs.txt')
    pairing.match_list_path = str(pairs_file)

    n_done = len(pairs) - len(left)
    for portion in _portions(left, _PAIRS_AT_ONCE):
        pairs_file.write_text(''.join(f'{first} {second}\n' for first, second in portion))
        pycolmap.match_image_pairs(at.database, options, pairing, verification)
        n_done += len(portion)
        at.report('matches', n_done, len(pairs), {})


def _unmatched(pairs: Sequence[NamePair], at: Workplace) -> list[NamePair]:
    ids = at.image_ids()
    with at.opened() as database:
        return [
            pair
            for pair in pairs
            if not database.exists_two_view_geometry(ids[pair[0]], ids[pair[1]])
        ]


def _write_cameras(pictures: Sequence[Picture], at: Workplace) -> dict[str, int]:
    """Number of every camera in the database, into which they are written."""
    numbers: dict[str, int] = {}
    for picture in pictures:
        numbers.setdefault(picture.camera, len(numbers) + 1)

    with at.opened() as database:
        for picture in pictures:
            number = numbers[picture.camera]
            if not database.exists_camera(number):
                known = at.cameras.get(picture.camera)
                camera = colmap_camera_of(picture, number, at.config.lens, known)
                database.write_camera(camera, use_camera_id=True)

    return numbers


def _portions(things: Sequence, size: int) -> Iterator[list]:
    for start in range(0, len(things), size):
        yield list(things[start : start + size])
