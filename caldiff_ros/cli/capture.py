# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make a dataset from a video, or from a folder of photos.

Estimates the poses of the pictures by structure from motion and writes the folder OUTPUT, which
caldiff build-map, nerfstudio (transforms.json) and COLMAP (sparse/0) can read. To resume an
interrupted run, start it again with the same arguments.

The poses have no metric scale unless one is given: the distance between two pictures (--distance
0001.jpg 0030.jpg 2.5), a printed AprilTag in view (--tag-size 0.16), a ChArUco board in view
(--charuco 7x5:0.04:0.03:4x4), or GPS in the photos (--gps).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg

from caldiff_ros.capture.capture import Capture
from caldiff_ros.capture.config import CaptureConfig
from caldiff_ros.capture.scale import Gps, MeasuredDistance, ScaleSource
from caldiff_ros.capture.targets import Charuco, TagFamily, Tags, TargetScale
from caldiff_ros.cli.options import Options
from caldiff_ros.cli.progress import TrainingProgress
from caldiff_ros.console import plain_console
from caldiff_ros.errors import CaldiffError
from caldiff_ros.scenes.calibration import read_calibration


@dataclass(frozen=True, kw_only=True)
class PictureOptions(Options):
    """What is known about pictures without poses: their calibration, and the metric scale."""

    camera: str | None = None
    """Calibration of the camera that took all pictures, used instead of an estimate:
    fx,fy,cx,cy,k1,k2,p1,p2,k3 in pixels (or fewer), a camera_info .yaml file of ROS, or a .json
    file with the keys of nerfstudio."""

    distance: tuple[str, str, float] | None = None
    """Two pictures (file names, or times of the video in seconds) and the distance between their
    camera positions in metres."""

    tag_size: float | None = None
    """Edge length, in metres, of the black square of the AprilTags in view."""

    tag_family: TagFamily = 'tag36h11'
    """Family of the AprilTags."""

    charuco: str | None = None
    """ChArUco board in view, such as 7x5:0.04:0.03:4x4: number of squares, edge lengths of a square
    and of a marker in metres, bits of a marker."""

    gps: FlagCreatePairsOff[bool] = False
    """Take the scale from the GPS positions in the photos' EXIF, for places of tens of metres."""

    def calibration(self) -> dict[str, Any] | None:
        """The calibration of the camera, see `read_calibration`; None where it is not known.

        Raises:
            CaldiffError: if it cannot be read.
        """
        return None if self.camera is None else read_calibration(self.camera)

    def scale_source(self) -> ScaleSource | None:
        """The source of the metric scale, if one is given.

        Raises:
            CaldiffError: if more than one is given.
        """
        sources: list[ScaleSource] = []
        if self.distance is not None:
            sources.append(MeasuredDistance(*self.distance))
        if self.tag_size is not None:
            sources.append(TargetScale(Tags(self.tag_size, self.tag_family)))
        if self.charuco is not None:
            sources.append(TargetScale(_board(self.charuco)))
        if self.gps:
            sources.append(Gps())

        if len(sources) > 1:
            raise CaldiffError(
                f'the scale is given {len(sources)} times, expected one of --distance, --tag-size, '
                '--charuco and --gps; omit the others'
            )
        return sources[0] if sources else None


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of ``caldiff capture``."""

    source: Annotated[Positional[Path], arg(metavar='VIDEO_OR_FOLDER')]
    """A video, or a folder of photos."""

    output: Path
    """Folder to write the dataset to. Unfinished work is kept in a folder beside it."""

    given: Annotated[PictureOptions, arg(name='')] = field(default_factory=PictureOptions)
    """What is known about the pictures."""

    threads: int = -1
    """Number of threads; -1 for one per core."""

    config: Annotated[CaptureConfig, arg(name='')] = field(default_factory=CaptureConfig)
    """Expert options."""


def run(arguments: Arguments) -> int:
    """Make the dataset and print the report."""
    make_dataset(Capture(
        arguments.source, arguments.output, arguments.config,
        scale=arguments.given.scale_source(),
        calibration=arguments.given.calibration(),
        threads=arguments.threads,
    ))  # fmt: skip

    return 0


def make_dataset(capture: Capture) -> None:
    """Run a capture with its progress and print its report."""
    with TrainingProgress(plain_console(stderr=True)) as progress:
        found = replace(capture, report=progress).run()

    console = plain_console(soft_wrap=True, highlight=False)
    for line in found.lines():
        console.print(line)
    console.print(f'dataset written to {capture.output}')


def _board(text: str) -> Charuco:
    try:
        squares, square_m, marker_m, *markers = text.split(':')
        columns, rows = (int(number) for number in squares.split('x'))
        [bits] = markers or ['4x4']
        return Charuco(columns, rows, float(square_m), float(marker_m), markers=bits)
    except ValueError as error:
        raise CaldiffError(
            f'the board is {text!r}, expected COLUMNSxROWS:SQUARE:MARKER:BITS such as '
            '7x5:0.04:0.03:4x4; check --charuco'
        ) from error
