# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What accompanies the build of a map: its seed, device, work folder and progress."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from caldiff_ros.errors import CaldiffError

#: Values that their ``repr`` identifies.
_PLAIN = (str, bytes, bool, int, float, Path, torch.device)

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
        self._report = report
        self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, step: int, n_steps: int, numbers: dict[str, float]) -> None:
        """See `Report`."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
        self._report(stage, step, n_steps, numbers)


class Checkpoint:
    """State of a stage on disk, written atomically; the path may be None to keep nothing.

    Args:
        path: the file.
        identity: what the stage was started with; a state of another identity is not loaded.
    """

    def __init__(self, path: Path | None, identity: str) -> None:
        self._path = path
        self._identity = identity

    def load(self) -> dict[str, Any] | None:
        """The last state saved under the same identity."""
        if self._path is None or not self._path.is_file():
            return None

        state = torch.load(self._path, map_location='cpu', weights_only=True)
        return state['state'] if state['identity'] == self._identity else None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        if self._path is None:
            return

        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix('.partial')
        # through memory, as torch's own writing reports a full disk as an internal error
        content = io.BytesIO()
        torch.save({'identity': self._identity, 'state': state}, content)

        try:
            partial.write_bytes(content.getbuffer())
            partial.replace(self._path)
        finally:
            partial.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """One build of a map, or a part of it.

    Attributes:
        seed: of everything random.
        device: where to compute.
        work: folder for checkpoints, in which a stopped build resumes; None keeps none.
        report: receives the progress of all stages.
        part: prefix of the stages and checkpoints of a part of the build, see `within`.
        finished_only: whether stages must have been finished in the work folder already.
    """

    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device('cpu'))
    work: Path | None = None
    report: Report = no_report
    part: str = ''
    finished_only: bool = False

    def within(self, part: str) -> BuildContext:
        """The context of a part of the build, whose stages and checkpoints bear its name."""
        return replace(self, part=f'{self.part}{part} ')

    def begin(self, stage: str) -> None:
        """Called before a stage computes what its checkpoint does not hold.

        Raises:
            CaldiffError: if only finished stages may be used.
        """
        if self.finished_only:
            raise CaldiffError(
                f'{self.work} holds no finished {self.part}{stage} of these arguments, expected '
                'one; run caldiff train-nerf with the same arguments first'
            )

    def progress(
        self, stage: str, step: int, n_steps: int, numbers: Mapping[str, float] | None = None
    ) -> None:
        """Report step ``step`` of ``n_steps`` of a stage."""
        self.report(self.part + stage, step, n_steps, dict(numbers or {}))

    def folder(self, name: str) -> Path | None:
        """Folder ``name`` for the files of a stage; None if nothing is kept."""
        if self.work is None:
            return None

        folder = self.work / self._file_name(name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def checkpoint(self, name: str, *inputs: object) -> Checkpoint:
        """Where stage ``name`` saves its state.

        Args:
            name: of the stage.
            inputs: everything that its result depends on besides the seed: configurations, images,
                poses, models. A state that was made from others is not resumed.
        """
        path = None if self.work is None else self.work / f'{self._file_name(name)}.ckpt'
        return Checkpoint(path, digest(self.seed, *inputs))

    def generator(self, device: torch.device | str = 'cpu') -> torch.Generator:
        """Random numbers from the seed, anew at every call."""
        return torch.Generator(device).manual_seed(self.seed)

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Within it, PyTorch's global generator starts from the seed; it is restored afterwards.

        For the initialization of modules, which takes no generator of its own.
        """
        # without devices, PyTorch would initialize every GPU of the machine
        devices = [self.device] if self.device.type == 'cuda' else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            yield

    def _file_name(self, name: str) -> str:
        return (self.part + name).replace(' ', '-')


def digest(*values: object) -> str:
    """SHA-256 of numbers, text, tensors, modules, and what holds them, to recognize them.

    Raises:
        TypeError: if a value is of a kind whose content is not known.
    """
    sha = hashlib.sha256()
    for value in values:
        _add(sha, value)

    return sha.hexdigest()


def _add(sha: hashlib._Hash, value: object) -> None:
    """Add a value and its kind to a digest."""
    if isinstance(value, np.generic):
        value = value.item()

    sha.update(f'{type(value).__qualname__}('.encode())

    if isinstance(value, Tensor):
        sha.update(f'{value.dtype} {list(value.shape)} '.encode())
        # without a copy, as images may take gigabytes
        sha.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, np.ndarray):
        sha.update(f'{value.dtype} {value.shape} '.encode())
        sha.update(np.ascontiguousarray(value).tobytes())
    elif hasattr(value, 'state_dict'):
        _add(sha, dict(value.state_dict()))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for part in dataclasses.fields(value):
            sha.update(part.name.encode())
            _add(sha, getattr(value, part.name))
    elif isinstance(value, Mapping):
        for name, part in value.items():
            _add(sha, name)
            _add(sha, part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _add(sha, part)
    elif value is None or isinstance(value, _PLAIN):
        sha.update(repr(value).encode())
    else:
        raise TypeError(f'a {type(value).__name__} cannot identify a checkpoint')

    sha.update(b')')


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of everything a module holds; results on disk know their map by it."""
    sha = hashlib.sha256()
    for name, value in module.state_dict().items():
        sha.update(f'{name} {value.dtype} {list(value.shape)}'.encode())
        sha.update(value.detach().cpu().contiguous().numpy().tobytes())

    return sha.hexdigest()
