# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""COLMAP's database: cameras, keypoints and matches; what it holds already is not made again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caldiff_ros.capture.config import EXTRA, CaptureConfig
from caldiff_ros.capture.pictures import Picture
from caldiff_ros.mapping.context import Report
from caldiff_ros.packages import load_pycolmap

#: Names i and j of two images.
NamePair = tuple[str, str]

#: Work is handed to COLMAP in portions, between which progress is told and Ctrl-C is heard.
_IMAGES_AT_ONCE = 8
_PAIRS_AT_ONCE = 64
#: Focal length in longer sides of the picture, where the camera did not write it.
_USUAL_FOCAL = 1.2
#: Fewer pictures than this do not tell the four coefficients of a lens apart.
_PICTURES_FOR_OPENCV = 10


@dataclass(frozen=True)
class Workplace:
    """Files and threads of a reconstruction.

    Attributes:
        database: COLMAP's file.
        images: folder of the pictures.
        config: the settings.
        threads: number of threads; -1 for one per core.
        report: receives the progress.
    """

    database: Path
    images: Path
    config: CaptureConfig
    threads: int
    report: Report

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The database, which is made where there is none."""
        database = load_pycolmap(EXTRA).Database.open(str(self.database))
        try:
            yield database
        finally:
            database.close()

    def image_ids(self) -> dict[str, int]:
        """Numbers of the images in the database, by their name."""
        with self.opened() as database:
            return {image.name: image.image_id for image in database.read_all_images()}


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
    """Number of every camera in the database; they are written into a new one."""
    pycolmap = load_pycolmap(EXTRA)
    counts = Counter(picture.camera for picture in pictures)
    with at.opened() as database:
        if database.num_cameras() == 0:
            for number, (name, count) in enumerate(counts.items(), 1):
                picture = next(picture for picture in pictures if picture.camera == name)
                usual = _USUAL_FOCAL * max(picture.width, picture.height)
                camera = pycolmap.Camera.create_from_model_name(
                    number, _model(count, at.config), picture.focal_px or usual,
                    picture.width, picture.height,
                )  # fmt: skip
                camera.has_prior_focal_length = picture.focal_px is not None
                database.write_camera(camera, use_camera_id=True)

    return {name: number for number, name in enumerate(counts, 1)}


def _model(count: int, config: CaptureConfig) -> str:
    if config.lens == 'fisheye':
        return 'OPENCV_FISHEYE'
    return 'OPENCV' if count >= _PICTURES_FOR_OPENCV else 'SIMPLE_RADIAL'


def _portions(things: Sequence, size: int) -> Iterator[list]:
    for start in range(0, len(things), size):
        yield list(things[start : start + size])
