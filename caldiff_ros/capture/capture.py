# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A dataset from pictures alone: frames, keypoints, matches, poses, scale, files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from caldiff_ros.capture.cameras import calibrated_cameras
from caldiff_ros.capture.config import EXTRA, CaptureConfig
from caldiff_ros.capture.gravity import find_gravity
from caldiff_ros.capture.keypoints import Workplace, tolerance_of
from caldiff_ros.capture.lost import find_lost_parts
from caldiff_ros.capture.photos import photo_paths, take_photos
from caldiff_ros.capture.pictures import Picture, Pictures
from caldiff_ros.capture.poses import find_poses
from caldiff_ros.capture.process import run_apart
from caldiff_ros.capture.reconstruction import Models, load_models
from caldiff_ros.capture.report import CaptureReport
from caldiff_ros.capture.scale import ScaleSource, Solved
from caldiff_ros.capture.video import VIDEO_EXTENSIONS, take_frames
from caldiff_ros.capture.writing import (
    REPORT_FILE,
    check_output,
    move_to_map,
    replace_output,
    write_dataset,
)
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera
from caldiff_ros.mapping.context import Report, TimedReport, digest, no_report
from caldiff_ros.packages import load_pycolmap

#: Files and folders that hold the poses of a dataset.
_POSES = ('*.json', 'sparse', 'colmap', 'cameras.*', '*.pose.txt', 'seq-*')


@dataclass(frozen=True)
class Capture:
    """A capture to be made.

    Attributes:
        source: a video, or a folder of photos.
        output: folder of the dataset; what is unfinished is in a folder beside it.
        config: what the poses depend on.
        scale: what is known of the size of the place, if anything.
        calibration: of the camera that took all pictures, see `read_calibration`; None where it
            is to be found out.
        threads: number of threads; -1 for one per core.
        report: receives the progress.
    """

    source: Path
    output: Path
    config: CaptureConfig = field(default_factory=CaptureConfig)
    scale: ScaleSource | None = None
    calibration: Mapping[str, Any] | None = None
    threads: int = -1
    report: Report = no_report

    @property
    def work(self) -> Path:
        """Folder of what is unfinished, in which a stopped capture goes on."""
        return self.output.with_name(f'{self.output.name}-capture')

    @property
    def dataset(self) -> Path:
        """Folder in which the dataset grows until it is complete."""
        return self.work / 'dataset'

    def run(self) -> CaptureReport:
        """Make the dataset, or go on with it.

        Raises:
            CaldiffError: if the source gives no poses; what was found stays, to go on from.
        """
        report = TimedReport(self.report)
        check_output(self.output)
        _check_source(self.source)
        load_pycolmap(EXTRA)  # complains before the work, not after

        taken = self._take_pictures(report)
        images = self.dataset / 'images'
        at = Workplace(
            self.work / 'database.db', images, self.config,
            threads=self.threads, report=report, tolerance=tolerance_of(taken.pictures),
            cameras=self._known_cameras(taken, images),
        )  # fmt: skip
        run_apart(find_poses, taken, at)
        models = load_models(len(taken.pictures), at)

        solved = Solved(models.largest, taken, images)
        found = self._measure(solved, models, at, seconds=report.seconds)
        write_dataset(self.dataset, solved, found)
        replace_output(self.dataset, self.output)
        shutil.rmtree(self.work)

        return found

    def is_done(self) -> bool:
        """Whether the output was made from this source already.

        Raises:
            CaldiffError: if it was, and with another scale or calibration than is given now.
        """
        written = self.output / REPORT_FILE
        if not written.is_file():
            return False

        content = json.loads(written.read_text())
        if content['source'] != str(self.source.resolve()):
            return False

        is_given = self.scale is not None or self.calibration is not None
        if is_given and content.get('given') != self._given():
            raise CaldiffError(
                f'{self.output} was made from {self.source} with another scale or camera, expected '
                'the same ones; delete it to estimate the poses again, or omit these options '
                'to use it unchanged'
            )
        return True

    def _given(self) -> str:
        """Digest of scale and calibration."""
        return digest(self.scale, self.calibration)

    def _known_cameras(self, taken: Pictures, images: Path) -> dict[str, Camera]:
        if self.calibration is None:
            return {}
        return calibrated_cameras(taken.pictures, self.calibration, images)

    def _take_pictures(self, report: Report) -> Pictures:
        """Photos or frames, or those that an earlier run has taken from the same source."""
        identity = digest(_fingerprint(self.source), asdict(self.config), self.calibration)
        remembered = self.work / 'pictures.json'
        taken = _load_pictures(remembered, identity)
        if taken is not None:
            return taken

        shutil.rmtree(self.work, ignore_errors=True)
        images = self.dataset / 'images'
        images.mkdir(parents=True)
        try:
            if self.source.is_dir():
                taken = take_photos(self.source, images, report)
            else:
                taken = take_frames(self.source, images, self.config, report)
        except (CaldiffError, OSError):
            shutil.rmtree(self.work)  # there is nothing yet to go on from
            raise

        partial = remembered.with_suffix('.partial')
        partial.write_text(json.dumps({'identity': identity, **asdict(taken)}))
        partial.replace(remembered)
        return taken

    def _measure(
        self, solved: Solved, models: Models, at: Workplace, seconds: dict[str, float]
    ) -> CaptureReport:
        """Scale and vertical, into which the model is moved, and the report."""
        registered = solved.registered()
        R_cam_sfm = [image.cam_from_world().rotation.matrix() for _, image in registered]
        gravity = find_gravity(np.array(R_cam_sfm).transpose(0, 2, 1))
        scale = None if self.scale is None else self.scale.measure(solved)
        lost = find_lost_parts(solved.taken.pictures, models, at)
        move_to_map(solved, gravity, scale)

        used = {image.camera_id: image.camera for _, image in registered}
        return CaptureReport(
            source=str(self.source.resolve()),
            n_pictures=len(solved.taken.pictures),
            n_registered=len(registered),
            n_points=solved.model.num_points3D(),
            reprojection_error_px=solved.model.compute_mean_reprojection_error(),
            cameras=[_camera_line(camera) for camera in used.values()],
            unreadable=solved.taken.unreadable,
            lost=lost,
            gravity=gravity,
            scale=scale,
            given=self._given(),
            seconds=seconds,
        )


def is_bare(path: Path) -> bool:
    """Whether a dataset has to be made of it: a video, or photos without files of poses."""
    if path.is_dir():
        known = any(any(path.glob(pattern)) for pattern in _POSES)
        return not known and bool(photo_paths(path))
    return path.is_file() and path.suffix.lower() in VIDEO_EXTENSIONS


def _check_source(source: Path) -> None:
    if not source.exists():
        raise CaldiffError(
            f'{source} does not exist, expected a video or a folder of photos; check the path'
        )


def _fingerprint(source: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files that pictures are taken from."""
    paths = photo_paths(source) if source.is_dir() else [source]
    stats = [(path, path.stat()) for path in paths]
    return [(str(path.resolve()), stat.st_size, stat.st_mtime_ns) for path, stat in stats]


def _load_pictures(path: Path, identity: str) -> Pictures | None:
    """What an earlier run took; None if it took other pictures, or was stopped before."""
    if not path.is_file():
        return None

    content = json.loads(path.read_text())
    if content.pop('identity') != identity:
        return None

    pictures = [Picture(**entry) for entry in content.pop('pictures')]
    return Pictures(pictures, **content)


def _camera_line(camera) -> str:
    numbers = ', '.join(f'{value:.4g}' for value in camera.params)
    size = f'{camera.width}x{camera.height}'
    return f'{size}: {camera.model_name} ({camera.params_info}) = {numbers}'
