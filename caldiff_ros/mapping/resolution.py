# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The size at which a map is built: as much as training and queries can use, in minutes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from caldiff_ros.geometry import Camera
from caldiff_ros.mapping.field_training import FieldTraining
from caldiff_ros.scenes.images import load_alpha
from caldiff_ros.scenes.scene import Frame
from caldiff_ros.wording import counted

#: Longer sides in pixels that are tried, the largest first: more pixels make poses no better. An
#: object on its own has fewer to see.
_SIDES_OF_ROOM = (480, 400, 320)
_SIDES_OF_OBJECT = (200, 160, 100)
#: The field shall be trained within this time, if it can be.
_BUDGET_S = 600.0
#: A step of the training: what it costs at least, and for every pixel of the image by one thread.
_STEP_S, _PIXEL_S = 0.010, 0.9e-6
#: The same pixel on a GPU.
_PIXEL_ON_GPU_S = 2e-8
#: Memory that a pixel of an image takes in training, at full and half size, and the share of the
#: machine's memory that all may take.
_PIXEL_BYTES, _MEMORY_SHARE = 45, 0.3
#: What the other stages take, whatever the size: in all by one thread, and as a share of the
#: field's time, as the calibration trains a second one.
_OTHER_STAGES_S, _CALIBRATION_SHARE = 180.0, 0.2


@dataclass(frozen=True)
class WorkingResolution:
    """How large the images are in training.

    Attributes:
        camera: working camera, without distortion.
        factor: by which the images are reduced.
        n_views: how many images there are.
        field_s: expected time for the radiance field in seconds; None where it is not known, or no
            field is trained.
        total_s: the same for the whole map; None where it is not known.
    """

    camera: Camera
    factor: float
    n_views: int
    field_s: float | None
    total_s: float | None

    def __str__(self) -> str:
        images = counted(self.n_views, 'image')
        size = f'{self.camera.width}x{self.camera.height} pixels'
        reduced = '' if self.factor == 1 else f', reduced {self.factor:.3g} times'
        if self.total_s is None:
            return f'{images} of {size}{reduced}'

        field = '' if self.field_s is None else f'{_as_text(self.field_s)} for the radiance field, '
        return f'{images} of {size}{reduced}: about {field}{_as_text(self.total_s)} for the map'


def working_resolution(
    frames: Sequence[Frame],
    training: FieldTraining | None,
    device: torch.device,
    factor: float | None = None,
) -> WorkingResolution:
    """Choose how large the images of a map are.

    Args:
        frames: training frames; the first one's camera is that of the map.
        training: how the field is trained; None if there is one, as with a splat.
        device: where.
        factor: by which the images are to be reduced; None chooses.

    Raises:
        CaldiffError: if the factor is not positive.
    """
    camera = frames[0].camera.pinhole()
    longer = max(camera.width, camera.height)
    if factor is not None:
        factors = [factor]
    else:
        sides = _SIDES_OF_OBJECT if _shows_an_object(frames[0]) else _SIDES_OF_ROOM
        factors = [max(1.0, longer / side) for side in sides]

    tried = [_at(camera, each, len(frames), training, device) for each in factors]
    return next((each for each in tried if _is_affordable(each)), tried[-1])


def _shows_an_object(frame: Frame) -> bool:
    return load_alpha(frame, frame.camera.pinhole()) is not None


def _at(
    camera: Camera,
    factor: float,
    n_views: int,
    training: FieldTraining | None,
    device: torch.device,
) -> WorkingResolution:
    camera = camera.downscaled(factor)
    if training is None:
        others_s = _OTHER_STAGES_S / torch.get_num_threads()
        return WorkingResolution(camera, factor, n_views, None, others_s)

    steps = training.steps(n_views)
    if steps is None:
        return WorkingResolution(camera, factor, n_views, None, None)

    threads = torch.get_num_threads()
    pixel_s = _PIXEL_ON_GPU_S if device.type == 'cuda' else _PIXEL_S / threads
    field_s = steps * (_STEP_S + pixel_s * camera.width * camera.height)
    total_s = (1 + _CALIBRATION_SHARE) * field_s + _OTHER_STAGES_S / threads

    return WorkingResolution(camera, factor, n_views, field_s, total_s)


def _is_affordable(resolution: WorkingResolution) -> bool:
    camera = resolution.camera
    n_bytes = resolution.n_views * camera.width * camera.height * _PIXEL_BYTES
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return (resolution.field_s or 0) <= _BUDGET_S and n_bytes <= _MEMORY_SHARE * memory


def _as_text(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f'{minutes} min' if minutes < 120 else f'{minutes / 60:.0f} h'
