# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Render, match, PnP: reaches the query from where direct alignment does not."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.query import Query
from caldiff_ros.nerf.field import RadianceField


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """SIFT between query and render, then PnP-RANSAC on the depth of the render."""

    longer_side: int = 400
    """Both images are enlarged to this before SIFT: keypoints of small images sit near the pixel
    limit."""
    ratio: float = 0.85
    """A match must be this much nearer than the second nearest."""
    threshold_px: float = 1.5
    """Reprojection error of an inlier, in pixels of the map's camera."""
    min_inliers: int = 8
    """Fewer make no pose."""
    contrast_threshold: float = 0.01
    """SIFT's: lower than its default, as renders are smooth."""
    ransac_iterations: int = 300
    """Most samples that RANSAC draws."""
    ransac_confidence: float = 0.999
    """Probability of a sample without outliers at which RANSAC stops."""
    min_opacity: float = 0.9
    """Keypoints of the render where it is less opaque have no depth."""


_Features = tuple[np.ndarray, np.ndarray | None]


def _features(image: np.ndarray, config: MatchingConfig) -> _Features:
    """SIFT of uint8 RGB (H, W, 3): continuous image coordinates (N, 2), descriptors (N, 128)."""
    scale = config.longer_side / max(image.shape[:2])
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)

    if scale > 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    else:
        scale = 1.0

    sift = cv2.SIFT.create(contrastThreshold=config.contrast_threshold)
    keypoints, descriptors = sift.detectAndCompute(gray, None)
    points = np.array([keypoint.pt for keypoint in keypoints]).reshape(-1, 2)

    return (points + 0.5) / scale, descriptors


def _matches(a: _Features, b: _Features, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (M, 2) of a and of b that belong together."""
    if a[1] is None or b[1] is None or len(b[1]) < 2:
        return np.empty((0, 2)), np.empty((0, 2))

    pairs = cv2.BFMatcher().knnMatch(a[1], b[1], k=2)
    good = [first for first, second in pairs if first.distance < ratio * second.distance]
    return a[0][[m.queryIdx for m in good]], b[0][[m.trainIdx for m in good]]


def _pnp(points: np.ndarray, uv: np.ndarray, query: Query, config: MatchingConfig) -> Pose | None:
    """T_norm_cam, (1,), of the camera that sees points (M, 3) at uv (M, 2)."""
    if len(points) < config.min_inliers:
        return None

    K = query.camera.matrix()
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

    rows = inliers[:, 0]
    rotvec, t = cv2.solvePnPRefineLM(points[rows], uv[rows], K, None, rotvec, t)
    T_cam_norm = Pose(
        torch.from_numpy(cv2.Rodrigues(rotvec)[0]).float(), torch.from_numpy(t[:, 0]).float()
    )
    pose = T_cam_norm.inverse()

    return Pose(pose.R[None], pose.t[None])


def match_and_solve_pnp(
    field: RadianceField, query: Query, poses: Pose, config: MatchingConfig
) -> list[Pose]:
    """Poses, (1,) each, that PnP finds from renders at ``poses`` (P,), where matching succeeds."""
    out = field.render(poses, query.camera)
    images = (out.rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    depth = out.depth.cpu().numpy()
    opacity = out.opacity.cpu().numpy()
    height = query.camera.height
    width = query.camera.width
    directions = query.directions.cpu().view(height, width, 3).numpy()
    query_features = _features(query.image, config)
    found = []

    for i in range(len(poses)):
        # 1. Match
        render_features = _features(images[i], config)
        uv_query, uv_render = _matches(query_features, render_features, config.ratio)

        # 2. Lift the keypoints of the render by its depth
        u, v = np.floor(uv_render).astype(int).T if len(uv_render) else np.empty((2, 0), int)
        u = u.clip(0, width - 1)
        v = v.clip(0, height - 1)
        solid = opacity[i, v, u] > config.min_opacity
        u = u[solid]
        v = v[solid]

        # the depth is that of the pixel, but the keypoint is not at its centre
        offset = uv_render[solid] - np.stack([u + 0.5, v + 0.5], axis=-1)
        rays = directions[v, u].copy()
        rays[:, :2] += offset / (query.camera.fx, query.camera.fy)
        points_cam = torch.from_numpy(rays * depth[i, v, u][:, None]).float()
        points = poses[i].to('cpu').transform(points_cam).double().numpy()

        # 3. Solve for the pose
        pose = _pnp(points, uv_query[solid].astype(np.float64), query, config)
        if pose is not None:
            found.append(pose.to(query.device))

    return found
