# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Splat files of all formats, recognized by their content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from caldiff_ros.errors import CaldiffError
from caldiff_ros.splats.antimatter import is_antimatter, read_antimatter
from caldiff_ros.splats.compressed_ply import is_compressed, read_compressed_ply
from caldiff_ros.splats.gaussian_ply import read_gaussian_ply
from caldiff_ros.splats.ply import PlyFile
from caldiff_ros.splats.splat import Splat, unit
from caldiff_ros.splats.spz import GZIP, MAGIC, is_gzipped_spz, read_spz

#: Bytes that are enough to recognize a format.
_BEGINNING = 4096


def read_splat(path: str | Path) -> Splat:
    """Read Gaussians as they are in a file: all of them, in its frame and unit.

    Formats are the .ply of 3DGS with harmonics of degree 0 to 4, of which those of degree 4 are
    left out; SuperSplat's compressed .ply; .spz, versions 1 to 4; and .splat. Nothing is turned: a
    .ply is in the frame of its training poses, or what its exporter made of it, and .spz is taken
    as it is stored, whatever its axes mean (see `spz`).

    Args:
        path: the file, of any name.

    Raises:
        CaldiffError: if it is missing, damaged, empty, or no splat.
    """
    path = Path(path).expanduser()
    try:
        splat = _reader(path)(path)
    except OSError as error:
        raise CaldiffError(
            f'{path} cannot be read ({error.strerror}), expected a splat; check the path'
        ) from error

    if not len(splat):
        raise CaldiffError(f'{path} holds no Gaussians, expected some; export it again')

    return replace(splat, quaternions=unit(splat.quaternions))


def _reader(path: Path) -> Callable[[Path], Splat]:
    with path.open('rb') as file:
        beginning = file.read(_BEGINNING)

    if beginning.startswith((b'ply\n', b'ply\r')):
        return _read_ply
    if beginning.startswith(MAGIC) or (beginning.startswith(GZIP) and is_gzipped_spz(beginning)):
        return read_spz
    if path.suffix.lower() == '.splat' or is_antimatter(path):
        return read_antimatter

    raise CaldiffError(
        f'{path} is not a known splat format, expected a .ply, .spz or .splat of 3D Gaussians; '
        'convert it, for example with SuperSplat'
    )


def _read_ply(path: Path) -> Splat:
    ply = PlyFile.open(path)
    return read_compressed_ply(ply) if is_compressed(ply) else read_gaussian_ply(ply)
