# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the trainings of the field and of the diffusion model share: progress and checkpoints."""

from __future__ import annotations

import functools
import hashlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from caldiff_ros.errors import CaldiffError

#: Matrices of so many rows and columns are multiplied so often to compare number formats.
_PRODUCT_SIZE, _PRODUCTS = 512, 5

#: Called as ``report(stage, step, n_steps, numbers)``; numbers are 'loss', now and then 'psnr'.
Report = Callable[[str, int, int, dict[str, float]], None]


def no_report(stage: str, step: int, n_steps: int, numbers: dict[str, float]) -> None:
    """Report nothing."""


class TimedReport:
    """A `Report` that also measures: the time since the last progress counts for its stage.

    Args:
        report: receives the progress.

    Attributes:
        seconds: per stage, in the order of their beginnings.
    """

    def __init__(self, report: Report) -> None:
        self._report, self._last = report, time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, step: int, n_steps: int, numbers: dict[str, float]) -> None:
        """See `Report`."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
        self._report(stage, step, n_steps, numbers)


class Checkpoint:
    """State of a training on disk, written atomically; the place may be None for none at all.

    Args:
        path: the file.
        identity: what the training was started with; another identity starts afresh.
    """

    def __init__(self, path: Path | None, identity: str) -> None:
        self._path, self._identity = path, identity

    def load(self) -> dict[str, Any] | None:
        """The last state saved by a training of the same identity."""
        if self._path is None or not self._path.is_file():
            return None
        state = torch.load(self._path, map_location='cpu', weights_only=True)
        return state['state'] if state['identity'] == self._identity else None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        if self._path is None:
            return
        partial = self._path.with_suffix('.partial')
        # through memory, as torch's own writing tells a full disk by an internal error
        content = io.BytesIO()
        torch.save({'identity': self._identity, 'state': state}, content)
        try:
            partial.write_bytes(content.getbuffer())
            partial.replace(self._path)
        finally:
            partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class Convergence:
    """When a training has learned what it can at a learning rate, and how it then ends."""

    window: int = 50
    """Steps, at least, whose mean loss is compared with that of as many steps before."""
    tolerance: float = 0.05
    """A loss that falls by a smaller share from one window to the next has ceased to fall."""
    decay: float = 0.5
    """The learning rate then falls to zero within so many steps, as a share of those before."""

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 <= self.tolerance < 1 or not 0 < self.decay < float('inf'):
            raise CaldiffError(
                f'convergence is window {self.window}, tolerance {self.tolerance}, decay '
                f'{self.decay}, expected at least 1 step, a share from 0 to 1, and a positive '
                'share; correct it'
            )


class Course:
    """The stages of a training, each until the loss ceases to fall; then the learning rate falls.

    Args:
        convergence: when a stage is over; None for a single one of a fixed length, at a constant
            learning rate.
        iterations: most steps in all.
        starts: at which shares of ``iterations`` the stages begin at the latest, from 0 on.

    Attributes:
        stage: the present one.
        steps: taken so far.
    """

    def __init__(
        self, convergence: Convergence | None, iterations: int, starts: Sequence[float] = (0.0,)
    ) -> None:
        self._convergence, self._iterations = convergence, iterations
        if convergence is not None:
            stable = iterations / (1 + convergence.decay)
            self._latest = [round(share * iterations) for share in starts[1:]] + [round(stable)]
        self.stage, self.steps = 0, 0
        self._losses: list[float] = []
        self._decays_from: int | None = None

    @property
    def expected(self) -> int:
        """Steps in all, as far as they are known: at most so many."""
        if not self.settled:
            return self._iterations
        decay = max(1, round(self._convergence.decay * self._decays_from))
        return min(self._iterations, self._decays_from + decay)

    @property
    def ended(self) -> bool:
        """Whether the training is over."""
        return self.steps >= self.expected

    @property
    def learning_rate(self) -> float:
        """Of the next step, as a share of the first one's."""
        if not self.settled:
            return 1.0
        return 1 - (self.steps - self._decays_from) / (self.expected - self._decays_from)

    @property
    def settled(self) -> bool:
        """Whether the last stage is over and the learning rate falls."""
        return self._decays_from is not None

    def advance(self, loss: float) -> None:
        """A step was taken and had this loss."""
        self.steps += 1
        if self._convergence is None or self.settled:
            return
        self._losses.append(loss)
        if self._ceased_to_fall() or self.steps >= self._latest[self.stage]:
            self._losses = []
            if self.stage + 1 < len(self._latest):
                self.stage += 1
            else:
                self._decays_from = self.steps

    def _ceased_to_fall(self) -> bool:
        n = self._convergence.window
        if len(self._losses) < 2 * n or len(self._losses) % n:
            return False
        before, now = sum(self._losses[-2 * n : -n]), sum(self._losses[-n:])
        return now > (1 - self._convergence.tolerance) * before

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            'stage': self.stage,
            'steps': self.steps,
            'losses': self._losses,
            'decays_from': self._decays_from,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.stage, self.steps = state['stage'], state['steps']
        self._losses, self._decays_from = list(state['losses']), state['decays_from']


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of everything a module holds, to know it again."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f'{name} {value.dtype} {list(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def mixed_precision(device: torch.device, wanted: bool = True) -> torch.autocast:
    """Matrix products in bfloat16 within this context, where the device is faster with it.

    Parameters and optimizer stay in float32; where it is not native it would be emulated, and even
    some processors that have it are slower.
    """
    pays = False
    if wanted and device.type == 'cuda':
        pays = torch.cuda.is_bf16_supported(including_emulation=False)
    elif wanted and device.type == 'cpu' and hasattr(torch.cpu, 'get_capabilities'):
        # torch 2.10 and later
        capabilities = torch.cpu.get_capabilities()
        native = any(capabilities.get(name, False) for name in ('avx512_bf16', 'amx_bf16'))
        pays = native and _multiplies_faster(torch.bfloat16)
    return torch.autocast(device.type, torch.bfloat16, enabled=pays)


@functools.cache
def _multiplies_faster(dtype: torch.dtype) -> bool:
    """Whether this processor multiplies matrices in ``dtype`` faster than in float32."""
    return _seconds_of_product(dtype) < _seconds_of_product(torch.float32)


def _seconds_of_product(dtype: torch.dtype) -> float:
    """Least time of a matrix product of the size that training has."""
    a, b = (torch.ones(_PRODUCT_SIZE, _PRODUCT_SIZE, dtype=dtype) for _ in range(2))
    spent = []
    for _ in range(_PRODUCTS):
        began = time.perf_counter()
        a @ b
        spent.append(time.perf_counter() - began)
    return min(spent)


def pick_device(name: str = 'auto') -> torch.device:
    """'auto' is the GPU if there is one; any other name is torch's."""
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    return torch.device(name)
