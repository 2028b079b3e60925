# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch
from wall import CAMERA, VIEW, Wall, moved, photograph

from caldiff_ros.geometry import Pose
from caldiff_ros.localization.confidence import Calibration, Evidence, Logistic, Scales
from caldiff_ros.localization.query import Query
from caldiff_ros.mapping.disturbances import SILHOUETTES, occlude
from maps import CALIBRATION

IMAGE = CALIBRATION.image


def drawn(rng, n, difference, similarity):
    """Evidence around a typical difference and similarity."""
    differences = torch.from_numpy(difference * np.exp(rng.normal(0, 0.5, n)))
    return Evidence(differences, differences, torch.from_numpy(similarity + rng.normal(0, 0.05, n)))


def test_confidence_is_the_logistic_of_the_difference():
    """One half where the logit is 0; twice the difference costs a factor of four in odds."""
    assert CALIBRATION.confidence(0.005, 0.3) == pytest.approx(0.5)
    assert CALIBRATION.confidence(0.010, 0.3) == pytest.approx(1 / (1 + 4))
    for difference, similarity in ((float('nan'), 0.5), (0.001, float('nan')), (float('inf'), 1.0)):
        assert CALIBRATION.confidence(difference, similarity) == 0.0
    assert CALIBRATION.confidence(0.0, 1.0) > 0.99


def test_confidence_needs_both_difference_and_similarity():
    even = replace(CALIBRATION, similarity=Logistic(-2.0, 4.0))  # one half at atanh(s) = 0.5
    assert even.confidence(1e-4, np.tanh(0.5)) == pytest.approx(0.5)
    assert even.confidence(1e-4, 0.0) == pytest.approx(1 / (1 + np.exp(2)))
    assert even.confidence(0.010, 0.99) == pytest.approx(1 / (1 + 4))


def test_fit_separates_what_can_be_separated():
    rng = np.random.default_rng(0)
    right, wrong = drawn(rng, 16, 0.001, 0.85), drawn(rng, 150, 0.02, 0.1)
    calibration = Calibration.fit(right, wrong, Scales(2.0, 3.0, 4.0), IMAGE)

    confidences = calibration.confidences
    assert min(confidences(right)) > 0.6
    assert max(confidences(wrong)) < 0.3
    # new ones of the same kind
    assert np.mean(np.array(confidences(drawn(rng, 200, 0.001, 0.85))) > 0.5) > 0.98
    assert np.mean(np.array(confidences(drawn(rng, 200, 0.02, 0.1))) > 0.5) < 0.01
    assert calibration.right_difference[1] == pytest.approx(float(right.difference.quantile(0.5)))
    assert (calibration.n_right, calibration.n_wrong) == (16, 150)
    assert calibration.covariance_scale == 2.0
    assert (calibration.matching_scale, calibration.landmark_scale) == (3.0, 4.0)


def test_fit_agrees_with_the_odds_where_right_and_wrong_overlap():
    """Numbers of N(2, 1) and N(0, 1): by Bayes the logit is 2 x - 2, one half at x = 1."""
    rng = np.random.default_rng(1)
    logistic = Logistic.fit(rng.normal(2, 1, 4000), rng.normal(0, 1, 400))
    for value in (-0.5, 0.0, 1.0, 2.5):
        assert logistic(value) == pytest.approx(1 / (1 + np.exp(2 - 2 * value)), abs=0.04)


def test_more_evidence_never_counts_against():
    """Even where the examples say so by chance."""
    rng = np.random.default_rng(2)
    assert Logistic.fit(rng.normal(0, 1, 8), rng.normal(2, 1, 8)).slope == 0


def test_calibration_survives_json():
    assert Calibration.from_dict(json.loads(json.dumps(asdict(CALIBRATION)))) == CALIBRATION


def test_evidence_against_numpy_and_opencv(scene):
    field, true, query = scene
    poses = Pose.cat([true, moved(true, 0.02, 3, seed=0), moved(true, 0.3, 30, seed=1)])
    evidence = Evidence.of(field.render(poses, query.camera), query)
    torch.testing.assert_close(evidence.error, query.photometric_error(field, poses))
    robust = replace(query, robust_scale=0.3)
    by_robust = Evidence.of(field.render(poses, query.camera), robust)
    torch.testing.assert_close(by_robust.error, robust.photometric_error(field, poses))
    assert bool((by_robust.error < 0.99 * evidence.error)[1:].all())
    torch.testing.assert_close(by_robust.difference, evidence.difference)
    assert float(evidence.similarity[0]) > 0.95
    assert evidence.similarity.tolist() == sorted(evidence.similarity.tolist(), reverse=True)
    assert float(evidence.similarity[2]) < 0.4
    # one pair by hand: windows of 9 pixels, every third
    other = photograph(field, poses[1:2], CAMERA).image
    colors = [image / 255 for image in (other, query.image)]
    a, b = (image.mean(axis=2) for image in colors)
    squared = ((colors[0] - colors[1]) ** 2).mean(axis=2)
    correlations, differences, weights = [], [], []
    for v in range(0, 80 - 8, 3):
        for u in range(0, 100 - 8, 3):
            p, q = a[v : v + 9, u : u + 9], b[v : v + 9, u : u + 9]
            covariance = ((p - p.mean()) * (q - q.mean())).mean()
            correlations.append(covariance / np.sqrt((p.var() + 1e-4) * (q.var() + 1e-4)))
            differences.append(squared[v : v + 9, u : u + 9].mean())
            weights.append(p.std() + q.std())

    def middle(values):
        """Half of the weight is at smaller ones."""
        order = np.argsort(values)
        below = np.cumsum(np.array(weights)[order])
        return np.array(values)[order][np.searchsorted(below, below[-1] / 2)]

    assert float(evidence.similarity[1]) == pytest.approx(middle(correlations), abs=2e-3)
    assert float(evidence.difference[1]) == pytest.approx(middle(differences), rel=0.02)


@pytest.mark.parametrize('textured', [False, True])
def test_what_hides_a_part_of_the_scene_hardly_counts(scene, textured):
    """Its right pose keeps its evidence, and a wrong one gains none."""
    field, true, query = scene
    poses = Pose.cat([true, moved(true, 0.3, 30, seed=1)])
    rendering = field.render(poses, query.camera)
    random = np.random.default_rng(3)
    for silhouette in SILHOUETTES:
        image = occlude(query.image, 0.25, random, silhouette, textured)
        hidden = Evidence.of(rendering, replace(query, image=image))
        assert float(hidden.similarity[0]) > 0.9 > 0.4 > float(hidden.similarity[1])
        assert float(hidden.difference[0]) < 0.1 * float(hidden.difference[1])


def test_similarity_does_not_mind_the_exposure(scene):
    field, true, query = scene
    darker = cv2.convertScaleAbs(query.image, alpha=0.6, beta=10)
    other = Query(darker, query.seen, query.camera, query.device, affine_exposure=True)
    evidence = Evidence.of(field.render(true, other.camera), other)
    assert float(evidence.similarity[0]) > 0.95
    assert float(evidence.error[0]) < 1e-4


def test_similarity_looks_at_seen_pixels_only(scene):
    field, true, query = scene
    image, seen = query.image.copy(), query.seen.copy()
    image[:, :30] = np.random.default_rng(0).integers(0, 255, (80, 30, 3))
    half = Query(image, seen, query.camera, query.device)
    seen = seen.copy()
    seen[:, :30] = False
    covered = Query(image, seen, query.camera, query.device)
    rendering = field.render(true, query.camera)
    similar = [float(Evidence.of(rendering, q).similarity[0]) for q in (half, covered)]
    assert similar[0] < similar[1]
    differences = [float(Evidence.of(rendering, q).difference[0]) for q in (half, covered)]
    assert differences[1] < differences[0]


def test_a_wall_seen_from_elsewhere_is_no_evidence():
    field = Wall()
    query = photograph(field, VIEW, CAMERA)
    rendering = field.render(moved(VIEW, 0.3, 30, seed=5, n=20), query.camera)
    around = Evidence.of(rendering, query)
    assert float(around.similarity.max()) < 0.5


def test_an_image_smaller_than_a_window_is_compared_as_a_whole():
    field, tiny = Wall(), CAMERA.resized(8, 6)
    query = photograph(field, VIEW, tiny)
    evidence = Evidence.of(field.render(VIEW, tiny), query)
    assert float(evidence.similarity[0]) > 0.9
