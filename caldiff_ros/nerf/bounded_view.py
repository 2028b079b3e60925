# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images of Gaussians on a GPU that never wait for it, so that they can be recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from caldiff_ros.geometry import Pose
from caldiff_ros.nerf.field import BeforePart, Rendering, render_on
from caldiff_ros.nerf.gpu_tiles import TileRoom
from caldiff_ros.recording import Recording

#: Pairs of a Gaussian and a tile: room for the fewest, and for the most; half of a gigabyte.
_LEAST_ROOM, _MOST_ROOM = 2**15, 2**23
#: Room is made for so many times what was needed first.
_RESERVE = 2


class BoundedView:
    """What a camera sees of a field from several poses, in bounded memory.

    Args:
        render: shows poses (P,) of the camera within a room.
        n_poses: the number of poses P.
        device: a GPU.

    Attributes:
        n_poses: the number of poses P.
        recordings: of work that renders this, by what tells them apart; forgotten when the room
            changes.
        watch: to be called before each rendering, with its number of pixels.
    """

    def __init__(
        self, render: Callable[[Pose, TileRoom], Rendering], n_poses: int, device: torch.device
    ) -> None:
        self.n_poses = n_poses
        self.recordings: dict[Any, Any] = {}
        self.watch: BeforePart = render_on
        self._render = render
        self._room = TileRoom(_LEAST_ROOM, device)
        self._is_fitted = False
        self._was_recorded = False

    def render(self, T_norm_cam: Pose) -> Rendering:
        """Images from poses (P,), (P, H, W); incomplete if the room is not enough."""
        return self._render(T_norm_cam, self._room)

    def has_room(self, T_norm_cam: Pose) -> bool:
        """Whether there is room for what is seen from poses (P,), and more is made where it pays.

        Only the first time, and where it was not enough, the GPU is waited for.
        """
        if self._is_fitted:
            return True

        self._room.clear()
        self.render(T_norm_cam)
        needed = max(int(self._room.needed), self._room.size // _RESERVE)
        if needed >= _MOST_ROOM // _RESERVE:
            return False

        size = 1 << (_RESERVE * needed - 1).bit_length()
        self._room = TileRoom(size, self._room.needed.device)
        self.recordings.clear()
        self._is_fitted = True
        return True

    def was_enough(self) -> bool:
        """Whether the room was enough since this was asked last; waits for the GPU."""
        needed = int(self._room.needed)
        self._room.clear()
        if needed <= self._room.size:
            return True

        self._room = TileRoom(min(needed, _MOST_ROOM), self._room.needed.device)
        self._is_fitted = False
        return False

    def recorded(self, T_norm_cam: Pose) -> Rendering | None:
        """`render`, recorded; None the first time, and if there is no room for it."""
        if not self._was_recorded:  # who comes once is not worth it
            self._was_recorded = True
            return None

        while self.has_room(T_norm_cam):
            if 'render' not in self.recordings:
                self.recordings['render'] = self._record(T_norm_cam)

            held, recording = self.recordings['render']
            held.R.copy_(T_norm_cam.R)
            held.t.copy_(T_norm_cam.t)
            shown = recording.replay()
            if self.was_enough():
                return Rendering(shown.rgb.clone(), shown.depth.clone(), shown.opacity.clone())

        return None

    def _record(self, T_norm_cam: Pose) -> tuple[Pose, Recording[Rendering]]:
        """The memory of the poses (P,), and the recording that shows what is seen from there."""
        held = Pose(T_norm_cam.R.clone(), T_norm_cam.t.clone())
        return held, Recording(lambda: self.render(held), held.t.device)
