# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Structure from motion: poses and points from the matches in the database."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caldiff_ros.capture.config import EXTRA
from caldiff_ros.capture.keypoints import Workplace
from caldiff_ros.errors import CaldiffError
from caldiff_ros.packages import load_pycolmap

if TYPE_CHECKING:
    from caldiff_ros.mapping.context import Report

#: A model of fewer images is chance.
_MIN_IMAGES = 3
#: Verified matches that show that two images overlap.
_MATCHES_OF_OVERLAP = 30
#: Images between two states on disk from which a stopped run goes on.
_SNAPSHOT_EVERY = 25


@dataclass(frozen=True)
class Models:
    """What structure from motion found.

    Attributes:
        largest: the pycolmap reconstruction with the most images, which is kept.
        elsewhere: names of images that are only in smaller models, which have no place in it.
    """

    largest: Any
    elsewhere: frozenset[str]


def reconstruct(n_images: int, at: Workplace) -> None:
    """Find poses and points, or leave those that an earlier run has found; reports stage 'poses'.

    Args:
        n_images: how many images there are.
        at: whose database has their matches; models are written beside it, the largest first.
    """
    folder = _models_folder(at)
    if folder.is_dir():
        return

    found = _map_images(folder.with_name('snapshots'), n_images, at)
    found.sort(key=lambda model: model.num_reg_images(), reverse=True)
    if found:
        _refine(found[0], at)

    partial = folder.with_suffix('.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for number, model in enumerate(found):
        write_model(model, partial / f'{number:03d}')

    partial.rename(folder)
    shutil.rmtree(folder.with_name('snapshots'))


def load_models(n_images: int, at: Workplace) -> Models:
    """What `reconstruct` has found.

    Raises:
        CaldiffError: if no images fit together.
    """
    pycolmap = load_pycolmap(EXTRA)
    found = [pycolmap.Reconstruction(str(path)) for path in sorted(_models_folder(at).iterdir())]
    if not found or found[0].num_reg_images() < _MIN_IMAGES:
        raise _no_model(n_images, at)

    kept = registered_names(found[0])
    others = frozenset[str]().union(*(registered_names(model) for model in found[1:]))
    return Models(found[0], others - kept)


def write_model(model: Any, folder: Path) -> None:
    """Write a reconstruction into a new folder, and read it again: COLMAP ignores a full disk.

    Raises:
        OSError: if it is not there completely.
    """
    folder.mkdir(parents=True)
    model.write(str(folder))
    try:
        written = load_pycolmap(EXTRA).Reconstruction(str(folder))
        complete = written.summary() == model.summary()
    except (RuntimeError, ValueError):
        complete = False

    if not complete:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _models_folder(at: Workplace) -> Path:
    return at.database.with_name('models')


def _no_model(n_images: int, at: Workplace) -> CaldiffError:
    """Why nothing was found: pictures that match were taken from one place."""
    pycolmap = load_pycolmap(EXTRA)
    with at.opened() as database:
        pair_ids, counts = database.read_two_view_geometry_num_inliers()

    matched = {
        number
        for pair_id, count in zip(pair_ids, counts, strict=True)
        if count >= _MATCHES_OF_OVERLAP
        for number in pycolmap.pair_id_to_image_pair(pair_id)
    }
    if len(matched) >= n_images / 2:
        return CaldiffError(
            f'{len(matched)} of the {n_images} images match others, but without parallax, expected '
            'pictures from different positions; move sideways between pictures, do not only turn'
        )

    return CaldiffError(
        f'structure from motion found no {_MIN_IMAGES} of the {n_images} images that fit '
        'together, expected overlapping pictures from different positions; take '
        'more sharp ones, each overlapping the next by more than half'
    )


def registered_names(model: Any) -> frozenset[str]:
    """Names of the images whose pose a reconstruction has."""
    return frozenset(image.name for image in model.images.values() if image.has_pose)


def _map_images(snapshots: Path, n_images: int, at: Workplace) -> list[Any]:
    """All models, the one that an earlier run began among them."""
    snapshots.mkdir(exist_ok=True)
    newest = _newest(snapshots)
    found = _run_mapper(snapshots, newest, n_images, at)

    # COLMAP looks for no other models when it goes on with one
    if newest and max((model.num_reg_images() for model in found), default=0) < n_images / 2:
        return _run_mapper(snapshots, '', n_images, at)
    return found


def _run_mapper(snapshots: Path, begun: str, n_images: int, at: Workplace) -> list[Any]:
    """Models, made from nothing or going on with one that was begun."""
    pycolmap = load_pycolmap(EXTRA)
    options = _options(at)
    options.snapshot_path = str(snapshots)
    options.snapshot_frames_freq = _SNAPSHOT_EVERY
    n_begun = pycolmap.Reconstruction(begun).num_reg_images() if begun else 0
    progress = _Progress(n_begun, n_images, at.report)

    with tempfile.TemporaryDirectory() as unused:
        models = pycolmap.incremental_mapping(
            at.database, at.images, unused, options, begun,
            initial_image_pair_callback=progress.begin, next_image_callback=progress.next,
        )  # fmt: skip

    return list(models.values())


def _options(at: Workplace) -> Any:
    options = load_pycolmap(EXTRA).IncrementalPipelineOptions()
    options.num_threads = at.threads
    options.random_seed = at.config.seed
    options.min_model_size = _MIN_IMAGES
    if at.cameras:
        options.ba_refine_focal_length = options.ba_refine_extra_params = False
        options.mapper.abs_pose_refine_focal_length = False
        options.mapper.abs_pose_refine_extra_params = False

    for part, name in (
        (options.mapper, 'init_max_error'),
        (options.mapper, 'abs_pose_max_error'),
        (options.mapper, 'filter_max_reproj_error'),
        (options.triangulation, 'merge_max_reproj_error'),
        (options.triangulation, 'complete_max_reproj_error'),
    ):
        setattr(part, name, at.tolerance * getattr(part, name))

    return options


def _refine(model: Any, at: Workplace) -> None:
    """Adjust poses, points and unknown cameras once more, with a loss that outliers weigh less in.

    Against known poses of rendered rooms this takes a fifth off the errors.
    """
    pycolmap = load_pycolmap(EXTRA)
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.SOFT_L1
    options.ceres.solver_options.num_threads = at.threads
    if at.cameras:
        options.refine_focal_length = options.refine_extra_params = False

    # not pycolmap.bundle_adjustment, which writes to the terminal
    problem = pycolmap.BundleAdjustmentConfig()
    for number in model.reg_image_ids():
        problem.add_image(number)
    problem.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(options, problem, model).solve()
    model.update_point_3d_errors()


def _newest(snapshots: Path) -> str:
    """The last state that was written completely; '' for none."""
    complete = [path for path in sorted(snapshots.iterdir()) if (path / 'points3D.bin').is_file()]
    return str(complete[-1]) if complete else ''


class _Progress:
    """Images that have a pose in the model that is being made."""

    def __init__(self, n_registered: int, n_images: int, report: Report) -> None:
        self._n_registered = n_registered
        self._n_images = n_images
        self._report = report

    def begin(self) -> None:
        """The first two images of a model."""
        self._n_registered = 2
        self._tell()

    def next(self) -> None:
        """One more."""
        self._n_registered += 1
        self._tell()

    def _tell(self) -> None:
        self._report('poses', min(self._n_registered, self._n_images), self._n_images, {})
