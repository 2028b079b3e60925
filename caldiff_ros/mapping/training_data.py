# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A dataset made ready to build a map of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, Normalization
from caldiff_ros.localization.map import LEAST_GAIN, MOST_DETAIL
from caldiff_ros.mapping.bounds import scene_bounds
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.field_training import FieldViews
from caldiff_ros.mapping.sparse_points import SparsePoints
from caldiff_ros.mapping.tracks import PosedCamera, Tracks
from caldiff_ros.mapping.triangulation import triangulated_tracks
from caldiff_ros.mapping.views import Views, load_frame, read_frames
from caldiff_ros.scenes.scene import Frame, Scene
from caldiff_ros.wording import counted

Background = Literal['auto', 'white', 'black', 'none']


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """A scene made ready: views in normalized coordinates and where the scene lies.

    Attributes:
        scene: the dataset.
        camera: working camera, that of the first training frame, downscaled.
        normalization: from the training cameras.
        views: training views.
        held_out: test views, for the PSNR report only; None without.
        aabb: box that holds the scene, (2, 3), normalized coordinates.
        background: 'white', 'black' or 'none'.
        downscale_factor: by which the images were reduced.
        points: of features that the training views share; None without.
        tracks: these features, where they were looked for; None without.
        frames: the training views on disk; none for views that were rendered.
    """

    scene: Scene
    camera: Camera
    normalization: Normalization
    views: Views
    held_out: Views | None
    aabb: Tensor
    background: str
    downscale_factor: float = 1.0
    points: SparsePoints | None = None
    tracks: Tracks | None = None
    frames: tuple[Frame, ...] = ()

    @classmethod
    def load(
        cls,
        scene: Scene,
        train: Sequence[Frame],
        test: Sequence[Frame],
        downscale_factor: float,
        background: Background = 'auto',
    ) -> TrainingData:
        """Read the images.

        Raises:
            CaldiffError: if there are too few frames, or an image or pose cannot be used.
        """
        trained = {frame.name for frame in train}
        unseen = [frame for frame in test if frame.name not in trained]
        _check_number(scene, len(train))
        camera = train[0].camera.pinhole().downscaled(downscale_factor)
        read = read_frames(train, camera)
        _check_number(scene, len(read))

        centers = np.stack([each.frame.T_map_cam[:3, 3] for each in read])
        normalization = Normalization.from_camera_centers(centers)
        views = Views.of(read, camera, normalization)
        judged = read_frames(unseen, camera)
        held_out = Views.of(judged, camera, normalization) if judged else None
        # photographs with an opaque alpha channel stand before nothing
        behind = 'none' if views.alpha is None else scene.background
        points = scene.sparse_points()
        sparse = None
        if points is not None:
            names = [each.frame.name for each in read]
            sparse = SparsePoints.of(points, names, normalization)

        return cls(
            scene=scene,
            camera=camera,
            normalization=normalization,
            views=views,
            held_out=held_out,
            aabb=scene_bounds(views, normalization, scene.aabb, sparse),
            background=behind if background == 'auto' else background,
            downscale_factor=downscale_factor,
            points=sparse,
            frames=tuple(each.frame for each in read),
        )

    def with_points(self, context: BuildContext) -> TrainingData:
        """The same with starting points: triangulated, if there is no other source of depth.

        At the size of the files, as a quarter of the pixels shows a quarter of the features.

        Args:
            context: receives the progress of 'triangulation'.
        """
        views = self.views
        has_depth = views.depth is not None and bool((views.depth > 0).any())
        is_known = self.points is not None and self.points.are_enough
        if views.alpha is not None or has_depth or is_known or not self.frames:
            return self

        found = self.with_tracks(context)
        assert found.tracks is not None
        points = found.tracks.points
        aabb = scene_bounds(views, self.normalization, self.scene.aabb, points)
        return replace(found, points=points, aabb=aabb)

    def with_tracks(self, context: BuildContext) -> TrainingData:
        """The same with features that the training images share, looked for in their files.

        Args:
            context: receives the progress of 'triangulation'.
        """
        if self.tracks is not None:
            return self

        camera = self._detailed_camera
        posed = PosedCamera(camera, self.views.T_norm_cam.to(torch.float64))
        saved = context.checkpoint('triangulation', self.views)
        state = saved.load()
        if state is not None:
            return replace(self, tracks=Tracks.from_dict(posed, state))

        context.begin('triangulation')
        read = (load_frame(frame, camera) for frame in self.frames)
        images = ((each.rgb, each.seen) for each in read if each is not None)
        report = partial(context.progress, 'triangulation')
        tracks = triangulated_tracks(images, posed, report)
        saved.save(tracks.to_dict())
        return replace(self, tracks=tracks)

    @property
    def _detailed_camera(self) -> Camera:
        """Of the files, as far as they are not too large."""
        camera = self.frames[0].camera.pinhole()
        return camera.downscaled(max(1, max(camera.size) / MOST_DETAIL))

    def detailed_images(self, chosen: Tensor) -> list[np.ndarray | None]:
        """What a query has beside its image at the working size, see `Query.detailed`.

        Args:
            chosen: which of the training images, bool (V,).
        """
        indices = chosen.nonzero()[:, 0].tolist()
        if not self.frames or max(self._detailed_camera.size) < LEAST_GAIN * max(self.camera.size):
            return [None] * len(indices)

        read = [load_frame(self.frames[i], self._detailed_camera) for i in indices]
        return [None if each is None else each.rgb for each in read]

    @property
    def field_views(self) -> FieldViews:
        """What a field is trained on."""
        return FieldViews(
            views=self.views,
            aabb=self.aabb,
            background=self.background,
            held_out=self.held_out,
            normalization=self.normalization,
            points=self.points,
        )


def _check_number(scene: Scene, n_training: int) -> None:
    if n_training < 2:
        raise CaldiffError(
            f'{scene.name} has {counted(n_training, "training frame")}, expected at least 2 and '
            'better 15 or more; take more images'
        )
