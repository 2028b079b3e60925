# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Render, match, PnP, and again from there: reaches the query from where alignment does not.

A render from a better pose looks more like the query and matches better, so it pays to repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.features import FeatureConfig, Features, detect, match
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.field import RadianceField, Rendering
from caldiff_ros.parallel import in_parallel

#: Least standard deviation of a keypoint's place, in pixels: few inliers may agree by chance.
_LEAST_NOISE_PX = 0.3
#: How often the pose is solved for all its inliers, and these are collected anew.
_COLLECTIONS = 3


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """Features matched between query and render, then PnP-RANSAC on the depth of the render."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    """Of both images."""
    ratio: float = 0.85
    """A match must be this much nearer than the second nearest."""
    near_ratio: float = 0.9
    """The same from the second round on, where only features near each other are compared."""
    window: float = 0.06
    """What is near from the second round on, as a share of the longer side."""
    rounds: int = 4
    """Most renders from one starting pose."""
    least_gain: float = 1.02
    """A round that multiplies the inliers by less is the last."""
    threshold_px: float = 1.5
    """Reprojection error of an inlier, in pixels of the map's camera."""
    min_inliers: int = 8
    """Fewer make no pose."""
    ransac_iterations: int = 500
    """Most samples that RANSAC draws."""
    ransac_confidence: float = 0.999
    """Probability of a sample without outliers at which RANSAC stops."""
    min_opacity: float = 0.9
    """Keypoints of the render where it is less opaque have no depth."""
    always_from: int = 240
    """Longer side of the images from which what is trusted already is matched as well: smaller ones
    have few features, which tell less than their pixels do."""
    most_poses: int = 2
    """Poses that are aligned after matching, those with the most inliers."""
    aligned_from: int = 100
    """Coarser levels would only lead away from matched poses."""


@dataclass(frozen=True)
class Matched:
    """A pose that matches agree on.

    Attributes:
        T_norm_cam: the pose, (1,), on the CPU.
        inliers: how many matches agree.
        covariance: as if their errors were independent, in the parameters of `Pose.retract`,
            float64 (6, 6).
    """

    T_norm_cam: Pose
    inliers: int
    covariance: Tensor


def match_and_solve_pnp(
    field: RadianceField, query: Query, poses: Pose, config: MatchingConfig
) -> list[Matched]:
    """What matching finds from ``poses`` (P,), most inliers first; nothing where it fails."""
    features = detect(query.image, config.features)

    # 1. From all poses
    firsts = _round(field, query, features, poses, config=config, window_px=None)
    found = sorted((m for m in firsts if m is not None), key=lambda m: -m.inliers)
    if not found:
        return []

    # 2. From the best of them again, until it stands still: the others were farther away
    best, *others = found
    window_px = config.window * max(query.camera.width, query.camera.height)
    for _ in range(config.rounds - 1):
        [again] = _round(
            field,
            query,
            features,
            best.T_norm_cam.to(query.device),
            config=config,
            window_px=window_px,
        )
        if again is None or again.inliers < best.inliers:
            break

        gain = again.inliers / best.inliers
        best = again
        if gain < config.least_gain:
            break

    return [best, *others]


def _round(
    field: RadianceField,
    query: Query,
    features: Features,
    poses: Pose,
    config: MatchingConfig,
    window_px: float | None,
) -> Sequence[Matched | None]:
    """Render from poses (P,), match, solve."""
    out = field.render(poses, query.camera)
    images = (out.rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    ratio = config.ratio if window_px is None else config.near_ratio

    def solve(i: int) -> Matched | None:
        # 1. Match
        of_render = detect(images[i], config.features)
        in_query, in_render = match(features, of_render, ratio, window_px)
        uv = features.uv[in_query]

        # 2. Lift the keypoints of the render by its depth
        points, solid = _lifted(of_render.uv[in_render], out[i : i + 1], query.camera, config)
        points = poses[i].to('cpu', torch.float64).transform(torch.from_numpy(points)).numpy()

        # 3. Solve for the pose
        return _pnp(points, uv[solid], query.camera, config)

    return in_parallel(solve, [(i,) for i in range(len(poses))], torch.get_num_threads())


def _lifted(
    uv: np.ndarray, out: Rendering, camera: Camera, config: MatchingConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Points (S, 3) in the camera's frame of keypoints (M, 2), and which have one, bool (M,)."""
    u = np.floor(uv[:, 0]).astype(int).clip(0, camera.width - 1)
    v = np.floor(uv[:, 1]).astype(int).clip(0, camera.height - 1)
    solid = out.opacity[0].cpu().numpy()[v, u] > config.min_opacity
    u, v, uv = u[solid], v[solid], uv[solid]
    depth = out.depth[0].cpu().numpy()[v, u].astype(np.float64)
    # the depth is that of the pixel, but the keypoint is not at its centre
    x = (uv - [camera.cx, camera.cy]) / [camera.fx, camera.fy]

    return np.column_stack([x * depth[:, None], depth]), solid


def _pnp(
    points: np.ndarray, uv: np.ndarray, camera: Camera, config: MatchingConfig
) -> Matched | None:
    """From which pose a camera sees points (M, 3), normalized coordinates, at uv (M, 2)."""
    if len(points) < config.min_inliers:
        return None

    K = camera.matrix()
    try:
        found, rotvec, t, inliers = cv2.solvePnPRansac(
            points,
            uv,
            K,
            distCoeffs=None,
            iterationsCount=config.ransac_iterations,
            reprojectionError=config.threshold_px,
            confidence=config.ransac_confidence,
            flags=cv2.SOLVEPNP_SQPNP,
        )
    except cv2.error:  # samples of one and the same point, as repeated patterns give
        return None

    if not found or inliers is None or len(inliers) < config.min_inliers:
        return None

    chosen = np.isin(np.arange(len(points)), inliers)
    for _ in range(_COLLECTIONS):
        # those of RANSAC are the inliers of a few noisy points
        rotvec, t = cv2.solvePnPRefineLM(points[chosen], uv[chosen], K, None, rotvec, t)
        T_cam_norm = Pose.from_matrix(np.column_stack([cv2.Rodrigues(rotvec)[0], t]))
        seen = T_cam_norm.transform(torch.from_numpy(points)).numpy()
        distance = np.linalg.norm(_projected(seen, camera) - uv, axis=1)
        chosen = (seen[:, 2] > 0) & (distance < config.threshold_px)
        if chosen.sum() < config.min_inliers:
            return None

    pose = T_cam_norm.inverse()
    covariance = _covariance(seen[chosen], uv[chosen], pose.R.numpy(), camera)
    return Matched(Pose(pose.R[None].float(), pose.t[None].float()), int(chosen.sum()), covariance)


def _projected(seen: np.ndarray, camera: Camera) -> np.ndarray:
    """Where points (M, 3) of the camera's frame are seen, (M, 2); anywhere if behind it."""
    depth = np.where(seen[:, 2:] > 0, seen[:, 2:], 1.0)
    return seen[:, :2] / depth * [camera.fx, camera.fy] + [camera.cx, camera.cy]


def _covariance(seen: np.ndarray, uv: np.ndarray, R: np.ndarray, camera: Camera) -> Tensor:
    """Of the pose that sees points (M, 3), in the camera's frame, at uv (M, 2)."""
    x, y, z = seen.T
    zero = np.zeros_like(z)
    by_point = np.stack(
        [
            np.stack([camera.fx / z, zero, -camera.fx * x / z**2], axis=-1),
            np.stack([zero, camera.fy / z, -camera.fy * y / z**2], axis=-1),
        ],
        axis=1,
    )
    # a shift in the map's axes, and a turn about the camera's: x -> x - R^T d + x cross w
    cross = np.stack(
        [
            np.stack([zero, -z, y], axis=-1),
            np.stack([z, zero, -x], axis=-1),
            np.stack([-y, x, zero], axis=-1),
        ],
        axis=1,
    )
    J = np.concatenate([by_point @ -R.T, by_point @ cross], axis=2).reshape(-1, 6)
    noise_px = max(np.sqrt(((_projected(seen, camera) - uv) ** 2).mean()), _LEAST_NOISE_PX)
    information = torch.from_numpy(J.T @ J / noise_px**2)

    return torch.linalg.inv(information + 1e-9 * torch.eye(6).double())
