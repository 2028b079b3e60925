# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The three steps of section 3.2: diffusion, subset selection, refinement."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from caldiff_ros.diffusion.schedule import reverse_steps
from caldiff_ros.diffusion.vectors import pose_vectors, poses_of
from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.localization.alignment import AlignmentConfig, align
from caldiff_ros.localization.confidence import Evidence
from caldiff_ros.localization.covariance import curvature_covariance
from caldiff_ros.localization.inerf import InerfConfig, InverseProblem, inerf
from caldiff_ros.localization.masks import seen_through, shown_pixels
from caldiff_ros.localization.match_refinement import refine_by_matches
from caldiff_ros.localization.particles import uniform_particles
from caldiff_ros.localization.presets import LocalizerConfig
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.rolls import turned_images
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.selection import select
from caldiff_ros.nerf.field import Rendering

#: Steps of the refinement from one that observers see to the next.
_SHOWN_EVERY = 10


@dataclass(frozen=True)
class Refined:
    """Refined poses, best first.

    Attributes:
        T_norm_cam: poses (B,).
        evidence: how well each explains the whole image, (B,).
        covariance: of the best pose, in the parameters of `Pose.retract`, (6, 6) float64.
    """

    T_norm_cam: Pose
    evidence: Evidence
    covariance: Tensor


def prepare(image: np.ndarray, camera: Camera, config: LocalizerConfig, run: Run) -> Query:
    """The image (H, W, 3) uint8 of a camera as the map's would have seen it.

    Raises:
        CaldiffError: if it cannot be used: not one of its camera or mask, black, blurred.
    """
    view, seen = run.map.view(image, camera)
    mask = run.map.mask if run.mask is None else run.mask
    shown = shown_pixels(image, mask, run.map.background)
    if not shown.all():
        seen = seen & seen_through(shown, camera, run.map.camera)

    run.map.calibration.image.check(view, seen)
    device = run.map.field.aabb.device

    return Query(
        image=view,
        seen=seen,
        camera=run.map.camera,
        device=device,
        affine_exposure=config.affine_exposure,
        robust_scale=config.robust_scale,
        detailed=run.map.detailed_view(image, camera) if run.map.exact_landmarks else None,
    )


def diffused_particles(n: int, query: Query, config: LocalizerConfig, run: Run) -> Pose:
    """Steps 1 to 3 of Algorithm 1: ``n`` uniform particles, diffused to P_0, (n,)."""
    # 1. Initialize poses P_N.  2. Extract feature f.  3. Diffuse P_N to P_0.
    particles = uniform_particles(n, run.generator).to(query.device)
    run.notify('initialization', 1, 1, poses_of(particles))
    images, T_cam_turned = turned_images(query, config.rolls)
    with torch.no_grad():
        features = run.map.diffusion.encode(images, n, config.feature_dropout, run.generator)
    T_turned_cam = T_cam_turned.inverse()[torch.arange(n) % config.rolls]

    return diffuse(particles, features, T_turned_cam, query=query, config=config, run=run)


def diffuse(
    vectors: Tensor,
    features: Tensor,
    T_turned_cam: Pose,
    query: Query,
    config: LocalizerConfig,
    run: Run,
) -> Pose:
    """Diffuse pose vectors (P, 7) from t = N to 0 (sections 3.5 and 3.8).

    Args:
        vectors: random particles, see `uniform_particles`.
        features: the image's feature f as each particle sees it, (P, F).
        T_turned_cam: how the camera whose image a particle was shown is turned, (P,): the vectors
            are poses of that one.
        query: the image, for the integrated iNeRF.
        config: sampler, schedule and M.
        run: the localization.

    Returns:
        The particles P_0, (P,).
    """
    diffusion = run.map.diffusion
    device = vectors.device
    inside = config.integrated_inerf
    problem = None if inside is None else _inverse_problem(query, inside, run)
    steps = reverse_steps(config.schedule, config.diffusion_steps)

    for i, step in enumerate(steps):
        alpha_bar = vectors.new_full((len(vectors), 1), step.alpha_bar)
        t = vectors.new_full((len(vectors),), diffusion.time_of(step.alpha_bar))
        with torch.no_grad():
            clean = diffusion.predict_clean(vectors, alpha_bar, t, features)

        if config.sampler == 'ancestral':
            noise = torch.randn(vectors.shape, generator=run.generator).to(device)
            vectors = step.ancestral(vectors, clean, noise)
        else:
            vectors = step.ddim(vectors, clean)

        if inside is None and run.observer is None:  # nobody asks for the poses on the way
            run.raise_if_cancelled()
            continue

        poses = poses_of(vectors) @ T_turned_cam
        if inside is not None and problem is not None:
            poses = inerf(problem, poses, inside)
            vectors = pose_vectors(poses @ T_turned_cam.inverse())

        run.notify('diffusion', i + 1, len(steps), poses)

    return poses_of(vectors) @ T_turned_cam


def choose(poses: Pose, query: Query, config: LocalizerConfig, run: Run) -> Pose:
    """The good-to-refine subset (section 3.6)."""
    selection = config.selection
    if selection.screening_side:
        errors = query.level(selection.screening_side).photometric_error(run.field, poses)
        run.notify('selection', 1, 3, T_norm_cam=poses, errors=errors)
        poses = poses[errors.argsort(stable=True)[: selection.screened]]

    level = query.level(selection.longer_side) if selection.longer_side else query
    errors = level.photometric_error(run.field, poses)
    run.notify('selection', 2, 3, T_norm_cam=poses, errors=errors)
    chosen = select(poses, errors, selection)
    run.notify('selection', 3, 3, T_norm_cam=poses[chosen], errors=errors[chosen])

    return poses[chosen]


def refine(poses: Pose, query: Query, config: LocalizerConfig, run: Run) -> Refined:
    """Refine the chosen poses and order them by photometric error (section 3.7)."""
    refinement, matching = config.refinement, config.matching
    if refinement is None:
        return _best_first(poses, _shown(poses, query, run), {}, query, run)
    if isinstance(refinement, InerfConfig):
        refined = _refine_inerf(poses, query, refinement, run)
        return _best_first(refined, _shown(refined, query, run), {}, query, run)

    further: Pose | None = poses
    if matching and matching.serves(query) and run.map.exact_landmarks:
        # they make exact what is nearly right, and sooner than the finer levels
        coarse = refinement.coarser(matching.landmarks_from)
        refined = _refine_aligned(poses, query, coarse, config, run)
    else:
        refined = _refine_aligned(poses, query, refinement, config, run)
        shown = _shown(refined, query, run)
        trusted = _best_confidence(shown[1], run) >= config.min_confidence
        if matching is None or (trusted and not matching.serves(query)):
            return _best_first(refined, shown, {}, query, run)

        refined = refined[shown[1].error.argsort(stable=True)]
        # what is trusted is in its place, and only to be made exact
        further = None if trusted else poses

    found = refine_by_matches(refined, further, query, config, run)
    refined = Pose.cat([*found.poses, *found.unrefuted(refined)])
    covariances = dict(enumerate(found.covariances))
    return _best_first(refined, _shown(refined, query, run), covariances, query, run)


def _shown(poses: Pose, query: Query, run: Run) -> tuple[Rendering, Evidence]:
    """What poses (P,) see, and what speaks for them."""
    rendering = run.field.render(poses, query.camera)
    return rendering, Evidence.of(rendering, query)


def refine_in_spite(
    refined: Refined, particles: Pose, query: Query, config: LocalizerConfig, run: Run
) -> Refined:
    """Look once more, as something may stand in front of the scene, where nothing is sure.

    Everything is more robust then, which reaches less far, so that more poses are refined.

    Args:
        refined: what was found so far.
        particles: all of them, (P,).
        query: the image.
        config: of the localization.
        run: the localization.
    """
    hidden, alignment = config.hidden, config.refinement
    if hidden is None or not isinstance(alignment, AlignmentConfig):
        return refined
    # matches do not mind what they are not on
    matched = config.matching is not None and config.matching.serves(query)
    if matched or _best_confidence(refined.evidence, run) >= hidden.unless_confidence:
        return refined

    # 1. Select and refine
    query = replace(query, robust_scale=hidden.robust_scale)
    wary = replace(config, selection=replace(config.selection, count=hidden.count))
    with run.unobserved():
        chosen = choose(particles, query, wary, run)
        aligned = _refine_aligned(chosen, query, alignment.more_robust(hidden), wary, run)

    # 2. The best of these and of those
    poses = Pose.cat([refined.T_norm_cam, aligned])
    return _best_first(poses, _shown(poses, query, run), {0: refined.covariance}, query, run)


def _best_first(
    poses: Pose,
    shown: tuple[Rendering, Evidence],
    covariances: dict[int, Tensor],
    query: Query,
    run: Run,
) -> Refined:
    """Poses (P,) in the order of their errors, with the covariance of the best.

    Args:
        poses: in any order.
        shown: their renders and the evidence for them, (P,) each.
        covariances: by the pose's number, where one is known already.
        query: the image.
        run: the localization.
    """
    rendering, evidence = shown
    order = evidence.error.argsort(stable=True)
    poses, evidence = poses[order], evidence[order]
    run.notify('refinement', 2, 2, T_norm_cam=poses, errors=evidence.error)
    covariance = covariances.get(int(order[0]))
    if covariance is None:
        scale = run.map.calibration.covariance_scale
        covariance = scale * curvature_covariance(rendering[order[:1]], query, poses[:1])

    return Refined(poses, evidence, covariance)


def _best_confidence(evidence: Evidence, run: Run) -> float:
    """That of the pose with the least error."""
    best = evidence[evidence.error.argmin()[None]]
    [confidence] = run.map.calibration.confidences(best)
    return confidence


def _refine_inerf(poses: Pose, query: Query, config: InerfConfig, run: Run) -> Pose:
    def show(step: int, now: Pose) -> None:
        if step % _SHOWN_EVERY == 0 or step == config.steps:
            run.notify('refinement', step, config.steps, now)

    return inerf(_inverse_problem(query, config, run), poses, config, on_step=show)


def _inverse_problem(query: Query, config: InerfConfig, run: Run) -> InverseProblem:
    region = query.keypoint_region(config.keypoints, config.radius_px)
    return InverseProblem(field=run.field, query=query, region=region, generator=run.generator)


def _refine_aligned(
    poses: Pose, query: Query, alignment: AlignmentConfig, config: LocalizerConfig, run: Run
) -> Pose:
    def show(step: int, now: Pose) -> None:
        run.notify('refinement', 1, 2, now)

    # whoever is beyond the ratio could not make the answer ambiguous either
    ratio = config.ambiguity_ratio
    return align(
        run.field, query, poses, config=alignment, rival_ratio=ratio, on_step=show
    ).T_norm_cam
