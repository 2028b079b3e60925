# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The preset `paper` is that of section 4.2, number by number."""

import inspect
from dataclasses import replace

import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization import PRESETS, localizer
from caldiff_ros.localization.inerf import InerfConfig
from caldiff_ros.mapping.build import BUILD_PRESETS

PAPER = PRESETS['paper']


def test_localization_has_the_numbers_of_the_paper():
    assert PAPER.particles == 100
    assert (PAPER.sampler, PAPER.diffusion_steps) == ('ancestral', 50)
    schedule = PAPER.schedule
    assert (schedule.steps, schedule.beta_start, schedule.beta_end) == (50, 0.0001, 0.02)
    assert not schedule.zero_terminal_snr
    assert PAPER.integrated_inerf.steps >= 1
    assert PAPER.selection.count == 5
    assert PAPER.selection.min_distance == 0
    refinement = PAPER.refinement
    assert (refinement.learning_rate, refinement.steps) == (0.007, 300)
    assert (refinement.keypoints, refinement.radius_px) == (100, 5)
    assert PAPER.matching is None


def test_training_has_the_numbers_of_the_paper():
    training = BUILD_PRESETS['paper'].diffusion
    assert (training.learning_rate, training.balance) == (0.0002, 2.0)
    assert training.iterations == 20 * 5000
    assert (training.images, training.train_backbone) == (1, True)
    assert training.model.prediction == 'epsilon'
    assert training.snr_weights is None
    assert training.model.schedule == PAPER.schedule
    assert (training.model.denoiser.hidden_layers, training.model.denoiser.width) == (5, 1024)
    assert BUILD_PRESETS['paper'].views.count == 0


def test_algorithm_1_can_be_read_on_one_page():
    assert len(inspect.getsource(localizer).splitlines()) <= 100


def test_matching_beside_inerf_is_refused():
    """It would be ignored: nothing refines what it finds."""
    with pytest.raises(CaldiffError, match=r'^matching is .* set matching to None$'):
        replace(PRESETS['fast'], refinement=InerfConfig())
