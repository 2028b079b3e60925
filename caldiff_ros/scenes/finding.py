# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files that a dataset names, also where it was written on another machine or has moved."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

logger = logging.getLogger(__name__)

_EXTENSIONS = ('.png', '.jpg', '.jpeg', '.PNG', '.JPG', '.JPEG')
#: Folders whose files have the names of images but are none.
_NO_IMAGES = ('depth', 'mask', 'normal', 'confidence', 'semantic', 'segment')


def normalized_name(name: str) -> str:
    """A path as a dataset names it, with slashes and without './'."""
    return str(PurePosixPath(name.replace('\\', '/')))


def find_files(root: Path, names: Sequence[str], by_name: bool = True) -> list[Path | None]:
    """The files that ``names`` stand for; None where there is none.

    Names are paths relative to ``root``, or absolute, with slashes or backslashes; an image may
    lack its extension. Where such a folder is not there, the file is searched below ``root``: the
    one that ends most like the name, if no other ends so and no other name stands for it. What was
    found elsewhere is logged once.

    Args:
        root: folder of the dataset.
        names: as in the dataset.
        by_name: whether a file may be found by its own name alone, or has to lie in a folder of
            the right name.
    """
    found = [_as_named(root, name) for name in names]
    lost = [
        i for i, path in enumerate(found) if path is None and not _folder_is_there(root, names[i])
    ]
    if not lost:
        return found

    # 1. What ends most like each of the names, and is not named itself
    below = _Below(root)
    taken = {path.resolve() for path in found if path is not None}
    guesses = {i: below.most_alike(names[i], by_name) for i in lost}
    guesses = {i: path for i, path in guesses.items() if path and path.resolve() not in taken}

    # 2. A file that several names would stand for belongs to none of them for certain
    uses = Counter(guesses.values())
    guesses = {i: path for i, path in guesses.items() if uses[path] == 1}
    for i, path in guesses.items():
        found[i] = path

    if guesses:
        first = min(guesses)
        logger.warning(
            '%d of %d files are not where the dataset says and are taken from where they were '
            'found, such as %s for %s',
            len(guesses),
            len(names),
            guesses[first],
            names[first],
        )

    return found


def expected_path(root: Path, name: str) -> Path:
    """Where a file that was not found should be, for messages."""
    return root / normalized_name(name)


def _as_named(root: Path, name: str) -> Path | None:
    path = root / normalized_name(name)
    extensions = ('', *(() if path.suffix in _EXTENSIONS else _EXTENSIONS))
    candidates = [root / name, *(path.with_name(path.name + end) for end in extensions)]
    return next((c for c in candidates if _exists(c.is_file)), None)


def _folder_is_there(root: Path, name: str) -> bool:
    """Whether a name includes a folder that exists, so that only the file is missing."""
    path = PurePosixPath(normalized_name(name))
    return len(path.parts) > 1 and _exists((root / path).parent.is_dir)


def _exists(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except OSError:  # a home folder of another machine may be one that we must not look into
        return False


class _Below:
    """All files below a folder, by their lower-case names, with and without extension."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths: dict[str, list[Path]] = defaultdict(list)
        for folder, _, files in os.walk(root):
            for file in files:
                path = Path(folder, file)
                self._paths[file.lower()].append(path)
                if path.suffix in _EXTENSIONS:
                    self._paths[path.stem.lower()].append(path)

    def most_alike(self, name: str, by_name: bool) -> Path | None:
        """The one file with the most last parts of its path in common with a name."""
        named = PurePosixPath(normalized_name(name))
        scores: dict[Path, int] = {}
        for path in self._paths.get(named.name.lower(), []):
            folders = path.parent.relative_to(self._root).parts
            n_alike = _n_common(folders[::-1], named.parent.parts[::-1])
            if n_alike or (by_name and not _holds_no_images(path.parent)):
                scores[path] = n_alike

        best = [path for path, score in scores.items() if score == max(scores.values())]
        if len(best) > 1:  # 'images' beside smaller copies in 'images_2'
            best = [path for path in best if path.parent.name == 'images']

        return best[0] if len(best) == 1 else None


def _n_common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many leading parts two sequences have in common, whatever their case."""
    n = 0
    for a, b in zip(first, second, strict=False):
        if a.lower() != b.lower():
            break
        n += 1

    return n


def _holds_no_images(folder: Path) -> bool:
    return folder.name.lower().startswith(_NO_IMAGES)
