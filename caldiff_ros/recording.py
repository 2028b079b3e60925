# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Work of a GPU that is recorded once and then launched as a whole (CUDA graphs).

Launching a kernel costs the host several microseconds, and a localization consists of thousands
that take the GPU less than that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar('Result')

#: Runs before the recording: kernels are compiled and libraries make their workspaces in them.
_WARM_UPS = 2
#: Recordings of one function, for inputs of so many shapes.
_MOST_SHAPES = 16


class Recording(Generic[Result]):
    """Work that was recorded; on a CPU it is done each time.

    Args:
        work: launches kernels; it must not wait for the GPU, and work on the same memory each time.
        device: where it works.
    """

    def __init__(self, work: Callable[[], Result], device: torch.device) -> None:
        self._replay: Callable[[], Result] = work
        if device.type != 'cuda':
            return

        now, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(now)
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                work()
        now.wait_stream(aside)

        graph = torch.cuda.CUDAGraph()
        # other threads may use the GPU meanwhile
        with torch.cuda.graph(graph, capture_error_mode='thread_local'):
            result = work()

        def replay() -> Result:
            graph.replay()
            return result

        self._replay = replay

    def replay(self) -> Result:
        """Launch the work; its result, in the same memory each time."""
        return self._replay()


class Recorded:
    """A function of tensors, recorded for each shape of them at its second call, on a GPU.

    On a CPU, and where gradients are wanted, it is the function itself.

    Args:
        function: of tensors, to one tensor; it must not wait for the GPU, and everything else that
            it depends on must stay where and as it is.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self._recordings: dict[tuple, tuple[list[Tensor], Recording[Tensor]] | None] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result, in memory of its own."""
        if (
            not inputs[0].is_cuda
            or torch.is_grad_enabled()
            or torch.is_autocast_enabled('cuda')  # which keeps converted parameters for later
        ):
            return self._function(*inputs)

        key = tuple((each.shape, each.dtype, each.device) for each in inputs)
        if key not in self._recordings:
            if len(self._recordings) == _MOST_SHAPES:
                self._recordings.clear()
            self._recordings[key] = None  # who comes once is not worth a recording
            return self._function(*inputs)

        recorded = self._recordings[key]
        if recorded is None:
            held = [each.clone() for each in inputs]
            recorded = held, Recording(lambda: self._function(*held), inputs[0].device)
            self._recordings[key] = recorded

        held, recording = recorded
        for memory, value in zip(held, inputs, strict=True):
            memory.copy_(value)
        return recording.replay().clone()
