# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a capture found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from caldiff_ros.capture.gravity import Gravity
from caldiff_ros.capture.lost import LostPart
from caldiff_ros.capture.scale import Scale

#: Cameras that are held further from the vertical than this were held in all ways.
_VAGUE_DEG = 30.0
#: Files that could not be read are listed one by one up to this number.
_TOLD = 5
#: Fewer registered pictures than this share leave holes in a map.
_FEW_REGISTERED = 0.8


@dataclass(frozen=True)
class CaptureReport:
    """Numbers of a capture.

    Attributes:
        source: the video or folder.
        n_pictures: photos, or frames taken from the video.
        n_registered: of them, those with a pose.
        n_points: of the sparse model.
        reprojection_error_px: mean.
        cameras: one line for each camera.
        unreadable: files and stretches that could not be read.
        lost: what has no pose.
        gravity: the vertical.
        scale: metres per unit, and where that comes from; None where it is not known.
        given: digest of what was given as scale and calibration.
        seconds: that each stage took in this run.
    """

    source: str
    n_pictures: int
    n_registered: int
    n_points: int
    reprojection_error_px: float
    cameras: list[str]
    unreadable: list[str]
    lost: list[LostPart]
    gravity: Gravity
    scale: Scale | None
    given: str
    seconds: dict[str, float]

    def lines(self) -> Iterator[str]:
        """The report in sentences."""
        yield (
            f'{self.n_registered} of {self.n_pictures} pictures have a pose; {self.n_points} '
            f'points, mean reprojection error {self.reprojection_error_px:.2f} px'
        )
        yield from (f'camera {camera}' for camera in self.cameras)
        yield from self.unreadable[:_TOLD]
        if len(self.unreadable) > _TOLD:
            yield f'{len(self.unreadable) - _TOLD} more could not be read, see capture.json'
        yield from (f'no pose: {part}' for part in self.lost)

        if self.n_registered < _FEW_REGISTERED * self.n_pictures:
            yield 'many pictures have no pose: the map will have gaps where they were taken'
        yield self._gravity_line()
        yield self._scale_line()

    def as_json(self) -> dict[str, Any]:
        """Numbers and text for ``capture.json``."""
        content = asdict(self)
        content['lost'] = [{**asdict(part), 'text': str(part)} for part in self.lost]
        content['gravity'] = {
            'source': 'mean up vector of the cameras, which is z',
            'deviation_deg': self.gravity.deviation_deg,
        }
        return content

    def _gravity_line(self) -> str:
        told = f'they deviate from it by {self.gravity.deviation_deg:.0f}° in the median'
        if self.gravity.deviation_deg > _VAGUE_DEG:
            return f'up (z) is the mean up vector of the cameras, which is uncertain: {told}'
        return f'up (z) is the mean up vector of the cameras; {told}'

    def _scale_line(self) -> str:
        if self.scale is None:
            return 'scale: unknown, the unit is arbitrary; give --distance, --tag-size or --gps'
        return f'scale: metres, from {self.scale.how}'
