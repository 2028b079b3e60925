# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from caldiff_ros.localization.trust_basis import KNOWN_PHOTOGRAPHS, RENDERS
from caldiff_ros.ros.map_health import map_problem, map_summary, map_values
from maps import CALIBRATION, make_map

MEASURED = {'calibration': {'images': 20, 'aligned': 16, 'psnr_db': 24.3}}
TOO_FEW = replace(CALIBRATION, n_right=2)


@pytest.fixture
def good_map():
    return replace(make_map(), provenance=MEASURED | {'made_by': 'caldiff_ros 1', 'seed': 7})


@pytest.fixture
def bad_map(good_map):
    return replace(good_map, calibration=TOO_FEW)


def test_calibrated_map_has_no_problem_and_says_what_was_measured(good_map):
    assert map_problem(good_map) == ''
    assert map_summary(good_map) == (
        'calibrated: 16 of 20 held-out images aligned with a field of the others, PSNR 24.3 dB'
    )
    values = map_values(good_map)
    assert values['calibrated'] == 'yes' and 'why not calibrated' not in values
    assert (values['held-out images'], values['held-out images aligned']) == ('20', '16')
    assert values['held-out PSNR in dB'] == '24.3'
    assert values['training images'] == '6' and values['made by'] == 'caldiff_ros 1'


def test_uncalibrated_map_says_why_and_what_to_do(bad_map):
    assert map_problem(bad_map) == (
        'the map test is not calibrated, so nothing is LOCALIZED with it: only 2 of its held-out '
        'images could be aligned with the field, expected at least 3; rebuild it from more or '
        'sharper images that overlap, and run caldiff check on their poses'
    )
    values = map_values(bad_map)
    assert values['calibrated'] == 'no'
    assert values['why not calibrated'].startswith('only 2 of its held-out images')
    assert values['held-out images aligned'] == '2'


@pytest.mark.parametrize(
    'provenance', [{'seed': 7}, {'calibration': None}, {'calibration': 'good'}, None, [1]]
)
def test_map_without_the_numbers_shows_what_it_has(good_map, provenance):
    old = replace(good_map, provenance=provenance)
    assert map_summary(old) == 'calibrated: 16 held-out images aligned with a field of the others'
    values = map_values(old)
    assert 'held-out images' not in values and 'held-out PSNR in dB' not in values
    assert values['held-out images aligned'] == '16'


def test_a_map_of_renders_says_what_its_trust_rests_on(good_map):
    measured = {'images': 16, 'aligned': 15, 'psnr_db': 30.1, 'of': RENDERS}
    rendered = replace(good_map, provenance={'calibration': measured})
    assert map_summary(rendered) == (
        'calibrated: 16 of 16 renders of the splat aligned with a field of the others, PSNR 30.1 '
        'dB; trust rests on renders only, as no photograph was there to compare'
    )
    assert map_values(rendered)['calibrated by'] == 'renders of the splat'
    given = replace(good_map, provenance={'calibration': {'of': KNOWN_PHOTOGRAPHS}})
    assert map_summary(given) == (
        'calibrated: 16 photographs that may have been in the training of the splat aligned with it'
    )
    assert 'calibrated by' not in map_values(good_map)
