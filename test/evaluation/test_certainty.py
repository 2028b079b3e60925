# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sure answers counted by hand."""

import numpy as np

from caldiff_ros.evaluation.certainty import Certainty
from caldiff_ros.evaluation.protocol import QueryResult


def query(translation_norm, rotation_deg, status, confidence=0.5, nees=float('nan'), name='q'):
    T = np.eye(4)
    errors = (2 * translation_norm, translation_norm, rotation_deg, nees)
    return QueryResult(name, T, T, *errors, status, '', confidence, float('nan'), 1.0)


def test_what_is_localized_beyond_the_bounds_is_wrongly_sure():
    inf = float('inf')
    certainty = Certainty.of(
        [
            query(0.05, 10.0, 'LOCALIZED', 0.99, nees=2.0),  # just right
            query(0.051, 1.0, 'LOCALIZED', 0.7, nees=900.0),  # too far
            query(0.001, 10.1, 'LOCALIZED', 0.8, nees=900.0),  # turned too far
            query(0.9, 90.0, 'NOT_LOCALIZED', 0.95),  # wrong, and says so
            query(0.001, 0.1, 'NOT_LOCALIZED', 0.2, nees=6.0),  # right, and does not know it
            query(0.001, 0.1, 'AMBIGUOUS', 0.3, nees=40.0),
            query(0.001, 0.1, 'LOCALIZED', 0.9),  # without covariance
            query(inf, inf, 'FAILED', 0.0),
        ]
    )
    assert (certainty.n_localized, certainty.n_wrongly_sure) == (4, 2)
    assert certainty.highest_wrong_confidence == 0.8
    assert (certainty.n_right, certainty.n_right_localized) == (4, 2)
    assert certainty.right_localized_percent == 50.0
    assert (certainty.mean_nees, certainty.median_nees) == (16.0, 6.0)


def test_without_right_answers_there_is_no_share_of_them():
    certainty = Certainty.of([query(0.9, 90.0, 'NOT_LOCALIZED')])
    assert certainty == Certainty(0, 0, 0, 0, None, None, None)
    assert certainty.right_localized_percent is None
