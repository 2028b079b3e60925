# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Structure-based localization with the interface of `Localizer`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from caldiff_ros.baselines.hloc.absolute_pose import Estimate, estimate_pose
from caldiff_ros.baselines.hloc.building import SparseMap, build_sparse_map
from caldiff_ros.baselines.hloc.config import (
    CONFIGS,
    EXTRA,
    FULL_SIZE_CONFIGS,
    FeatureKind,
    HlocConfig,
    for_photographs,
)
from caldiff_ros.baselines.hloc.features import Detector, Features, enlarged_camera, make_detector
from caldiff_ros.baselines.hloc.matching import Matcher, make_matcher, votes
from caldiff_ros.baselines.hloc.training_images import TrainingImages
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.devices import pick_device
from caldiff_ros.geometry import Camera
from caldiff_ros.localization.answer import Answer, Status
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.localization.run import Run
from caldiff_ros.packages import load_pycolmap


class HlocLocalizer:
    """Localizes images from points that they share with training images.

    Args:
        localization_map: the map whose camera sees the queries, and whose frame the answers are in.
        sparse_map: the training images' keypoints and points.
        detect: finds keypoints.
        match: matches them.
        config: what all of these were made with.
        seed: each localization starts from it.
    """

    def __init__(
        self,
        localization_map: LocalizationMap,
        sparse_map: SparseMap,
        detect: Detector,
        match: Matcher,
        config: HlocConfig,
        seed: int = 0,
    ) -> None:
        self.map = localization_map
        self.sparse_map = sparse_map
        self.config = config
        self.seed = seed
        self._detect = detect
        self._match = match
        self._camera = enlarged_camera(localization_map.camera, config.longer_side)

    def localize(self, image_rgb: np.ndarray, camera: Camera) -> Answer:
        """Find the pose of the camera that took an image.

        Args:
            image_rgb: uint8 RGB (H, W, 3).
            camera: its intrinsics and distortion.

        Raises:
            CaldiffError: if it is no such image, or not one of this camera.
        """
        run = Run(self.map, torch.Generator())
        with run.stage('preparation'):
            view = self.map.view(image_rgb, camera)

        with run.stage('keypoints'):
            query = self._detect(*view)

        with run.stage('retrieval'):
            images = votes(query, self.sparse_map.features).argsort(descending=True, stable=True)

        with run.stage('matching'):
            uv, xyz = self._correspondences(query, images[: self.config.retrieved].tolist())

        with run.stage('pose'):
            found = estimate_pose(uv, xyz, self._camera, config=self.config, seed=self.seed)

        return self._answer(found, len(query), len(np.unique(uv, axis=0)), run.timings)

    def _correspondences(self, query: Features, images: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Image coordinates (M, 2) in the query and points (M, 3) that may be there."""
        pairs: dict[tuple[int, int], None] = {}  # in order, each once
        for image in images:
            found = self._match(query, self.sparse_map.features[image]).numpy()
            points = self.sparse_map.points.of_keypoint[image][found[:, 1]]
            for keypoint, point in zip(found[:, 0].tolist(), points.tolist(), strict=True):
                if point >= 0:
                    pairs[keypoint, point] = None

        keypoints, points = np.array(list(pairs), int).reshape(-1, 2).T
        return query.uv.numpy()[keypoints], self.sparse_map.points.xyz[points]

    def _answer(
        self, found: Estimate | None, n_keypoints: int, n_matched: int, timings: dict[str, float]
    ) -> Answer:
        """What the pose is worth."""
        matched = f'{n_matched} of {n_keypoints} keypoints match points in {self.map.name}'
        if found is None:
            message = f'No pose: {matched}.'
            return Answer(Status.NOT_LOCALIZED, message, timings=timings)

        least = self.config.min_inliers
        trusted = found.n_inliers >= least
        message = f'{matched}, and {found.n_inliers} agree with the pose'

        return Answer(
            Status.LOCALIZED if trusted else Status.NOT_LOCALIZED,
            f'{message}.' if trusted else f'{message}, fewer than the {least} that it takes.',
            T_map_cam=found.T_map_cam,
            covariance=found.covariance,
            confidence=found.n_inliers / n_matched,
            timings=timings,
        )


def make_hloc(setup: Setup, features: FeatureKind = 'disk') -> HlocLocalizer:
    """The baseline of section 4.2, ready to localize.

    Args:
        setup: what it is made from, its photographs at full size where it has any, and queries are
            then seen at full size as well; the reconstruction is kept, and its stages keypoints,
            matches and points are reported.
        features: 'disk', or 'sift' which needs no weights.

    Raises:
        CaldiffError: if a package is missing.
    """
    configs = FULL_SIZE_CONFIGS if setup.photographs else CONFIGS
    return make_hloc_of(configs[features], setup)


def make_hloc_of(config: HlocConfig, setup: Setup) -> HlocLocalizer:
    """The same with a configuration of one's own, see `make_hloc`."""
    localization_map = setup.localization_map
    load_pycolmap(EXTRA)  # complains before the work, not after
    where = pick_device(setup.device)

    if setup.photographs:
        images = TrainingImages.of_photographs(setup.photographs, localization_map)
        config = for_photographs(config, max(images.camera.width, images.camera.height))
        localization_map = replace(localization_map, camera=images.camera)
    else:
        images = TrainingImages.of_views(setup.views, localization_map)

    detect = make_detector(config, where)
    match = make_matcher(config, enlarged_camera(images.camera, config.longer_side), where)
    built = build_sparse_map(images, detect, match, config=config, context=setup.context)

    return HlocLocalizer(
        localization_map, built, detect, match=match, config=config, seed=setup.seed
    )
